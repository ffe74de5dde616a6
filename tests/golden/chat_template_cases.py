# SPDX-License-Identifier: Apache-2.0
"""The cases of chat_template.py: small templates, chats, and templates in the manner of families."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place, \"now\" or later — in °C",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "days": {"type": "integer", "enum": [1, 3, 7]},
                "units": {"type": ["string", "null"], "default": None},
            },
            "required": ["city"],
        },
    },
}

TIME = {
    "type": "function",
    "function": {"name": "get_time", "description": "The time.",
                 "parameters": {"type": "object", "properties": {}}},
}


def call(name, arguments, identifier):
    return {"id": identifier, "type": "function",
            "function": {"name": name, "arguments": arguments}}


SYSTEM = {"role": "system", "content": "You are brief.  "}
USER = {"role": "user", "content": "  Hällo, <b>wörld</b> & 'all' 🌊\n"}

CHATS = {
    "user": {"messages": [USER], "add_generation_prompt": True},
    "system and user": {"messages": [SYSTEM, USER], "add_generation_prompt": True},
    "turns": {"messages": [SYSTEM, USER, {"role": "assistant", "content": "Hi there."},
                           {"role": "user", "content": "And now?"}],
              "add_generation_prompt": True},
    "turns, closed": {"messages": [USER, {"role": "assistant", "content": "Hi."}]},
    "thinking": {"messages": [USER, {"role": "assistant",
                                     "content": "<think>\nHm, so.\n</think>\n\nHi."},
                              {"role": "user", "content": "Why?"}],
                 "add_generation_prompt": True},
    "thinking off": {"messages": [USER], "add_generation_prompt": True,
                     "extra": {"enable_thinking": False, "thinking": False}},
    "reasoning": {"messages": [USER, {"role": "assistant", "content": "Hi.",
                                      "reasoning_content": "Hm."},
                               {"role": "user", "content": "Why?"}],
                  "add_generation_prompt": True, "extra": {"enable_thinking": True}},
    "tools": {"messages": [SYSTEM, USER], "tools": [WEATHER, TIME],
              "add_generation_prompt": True},
    "tool call": {"messages": [USER,
                               {"role": "assistant", "content": "",
                                "tool_calls": [call("get_weather", {"city": "Zürich", "days": 3},
                                                    "call00001")]},
                               {"role": "tool", "tool_call_id": "call00001",
                                "name": "get_weather", "content": "{\"temp\": 21.5}"}],
                  "tools": [WEATHER, TIME], "add_generation_prompt": True},
    "tool calls": {"messages": [SYSTEM, USER,
                                {"role": "assistant", "content": None,
                                 "tool_calls": [call("get_weather", {"city": "Ulm"}, "call00001"),
                                                call("get_time", {}, "call00002")]},
                                {"role": "tool", "tool_call_id": "call00001",
                                 "name": "get_weather", "content": "sunny"},
                                {"role": "tool", "tool_call_id": "call00002",
                                 "name": "get_time", "content": "noon"},
                                {"role": "assistant", "content": "Sunny, and noon."},
                                {"role": "user", "content": "Thanks!"}],
                   "tools": [WEATHER, TIME], "add_generation_prompt": True},
    "arguments as text": {"messages": [USER,
                                       {"role": "assistant", "content": "Let me see.",
                                        "tool_calls": [call("get_time", "{\"zone\": \"UTC\"}",
                                                            "call00009")]},
                                       {"role": "tool", "tool_call_id": "call00009",
                                        "name": "get_time", "content": "noon"}],
                          "tools": [TIME], "add_generation_prompt": True},
    "content parts": {"messages": [{"role": "user",
                                    "content": [{"type": "text", "text": "One. "},
                                                {"type": "text", "text": "Two."}]}],
                      "add_generation_prompt": True},
    "assistant first": {"messages": [{"role": "assistant", "content": "Hi."}, USER]},
    "two users": {"messages": [USER, {"role": "user", "content": "Again."}]},
    "developer": {"messages": [{"role": "developer", "content": "Be kind."}, USER],
                  "add_generation_prompt": True},
    "empty": {"messages": []},
}

DATA = {
    "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "B"},
                 {"role": "user", "content": "c"}],
    "extra": {
        "s": "héllo wörld", "empty": "", "n": None, "i": 7, "f": 2.5, "t": True,
        "list": [3, 1, 2], "mixed": ["b", "A", "c", "a"], "nested": [[1, 2], [3, [4, "x"]]],
        "d": {"b": 1, "a": {"c": "it's", "items": 5}, "Z": None},
        "people": [{"name": "Ann", "age": 30, "tags": ["x"]},
                   {"name": "bob", "age": 25, "tags": []},
                   {"name": "Cid", "age": 30, "tags": ["y", "z"]}],
        "text": "line one\nline two\n\n  line four  ",
        "odd": "q\"uo'te\\\t\x01\u00a0é\u200b🌊\x7f",
        "floats": [0.1, 1e16, 1e15, 1e-5, 0.0001, 123456.789, -0.0, 3.0, 1e300, 5e-324],
    },
}

EXPRESSIONS = """
1 + 2 * 3 ; 7 / 2 ; 7 // 2 ; -7 // 2 ; -7 % 3 ; 7 % -3 ; 2 ** 10 ; -2 ** 2 ; 2 ** -1 ; 2 ** 3 ** 2
7.5 // 2 ; -7.5 // 2 ; 7.5 % 2 ; -7.5 % 2 ; 1.5 + 1 ; 1e3 ; 1_000 ; 0x1f ; 0b101 ; 0o17 ; 1e16 ; 1.0e-7
true + true ; 3 * true ; 1 == 1.0 ; true == 1 ; none == false ; 1 / 0 ; 1 % 0 ; 1.0 // 0
9223372036854775807 ; i * 3 ; +i ; -i ; -f ; - - i ; not i ; not not s
1 < 2 ; 1 < 2 < 3 ; 1 < 3 < 2 ; 3 > 2 >= 2 ; 1 != 2 ; 'a' < 'b' ; 'a' < 'B' ; 'a' < 1 ; [1, 2] < [1, 3] ; [1] == [1.0]
'a' in 'abc' ; 'x' not in s ; 1 in list ; 4 in list ; 'b' in d ; 1 in d ; 1 in 'abc' ; none in list ; 'a' in missing ; 'a' in none
i and s ; empty and s ; empty or s ; n or 0 ; missing or 'x' ; not missing ; i or missing.x
'yes' if i else 'no' ; 'yes' if empty else 'no' ; 'yes' if empty ; 'a' if empty else 'b' if i else 'c'
'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1] ; 'a' ~ 'b' + 'c' ; 1 ~ 2 * 3 ; 'a' 'b' "c" ; 'x' * 3 ; 3 * 'x' ; [1] * 2 + [3] ; 'a' + 1 ; (1,) + (2, 3)
'\\n\\t\\\\\\'' ; "\\"x\\x41\\u00e9\\101" ; '\\d\\w' ; 'a\\qb'
s[0] ; s[1] ; s[-1] ; s[100] ; s[1:4] ; s[:3] ; s[-3:] ; s[::-1] ; s[::2] ; s[5:1:-2] ; s[3:2] ; s[:-1] ; s[1:][2:] ; s[none:2]
list[0] ; list[-1] ; list[9] ; list[1:] ; list[::-1] ; list[-2:] ; list[:100] ; list[::-2] ; (1, 2, 3)[1:] ; list[1:2:0] ; list['a'] ; list[0:'a']
nested[1][1][0] ; nested.1.0 ; d.a.c ; d['a']['c'] ; d.missing ; d['missing'] ; d.missing.x ; missing ; missing.x ; n.x ; n.x.y ; i.x ; d.items ; d['items'] is defined ; d.a['items'] ; d.a.items is callable
[1, 'a', none, true, 2.0, [], {}, (), (1,), (1, 2), {'k': 'v', 1: 2}] ; [1, 2,] ; {'a': 1,} ; (1) ; () ; [] ; {}
floats ; floats[1] ; floats | tojson ; odd ; [odd] ; odd | tojson ; {'é': '🌊'} | tojson ; odd | tojson(ensure_ascii=true)
d ; d | tojson ; d | tojson(indent=2) ; d | tojson(indent=1, separators=(',', ':')) ; d | tojson(sort_keys=true) ; [] | tojson(indent=2) ; nested | tojson(indent=4) ; missing | tojson ; {1: 2, none: 3, true: 4, 1.5: 5} | tojson
s | upper ; s | lower ; s | title ; s | capitalize ; "it's a-b (c)" | title ; 'ÄÖß' | lower ; 'äöß' | upper ; text | trim ; 'xxaxx' | trim('x') ; i | trim ; '  a ' | trim ~ '|'
s | length ; list | length ; d | length ; missing | length ; i | length ; empty | count ; list | first ; list | last ; [] | first ; [] | last ; s | first ; s | last ; d | first
list | join ; list | join(', ') ; people | join(', ', attribute='name') ; d | join('-') ; s | join('.') ; [] | join('x') ; none | join ; missing | join
missing | default('x') ; missing | default ; n | default('x') ; n | default('x', true) ; empty | d('y', boolean=true) ; d.q | default({'a': 1})
list | list ; s | list ; d | list ; i | string + 'x' ; i | list ; '42' | int ; ' 42 ' | int ; '4_2' | int ; 'x' | int ; 'x' | int(5) ; '3.9' | int ; 3.9 | int ; -3.9 | int ; true | int ; none | int ; 'ff' | int(0, 16) ; '0xff' | int(base=16) ; '0x1f' | int
'1.5' | float ; 'x' | float ; 'x' | float(2.0) ; i | float ; 'inf' | float ; -5 | abs ; -2.5 | abs ; 'x' | abs
2.5 | round ; 3.5 | round ; 2.675 | round(2) ; 42 | round ; 42.55 | round(1, 'floor') ; 42.51 | round(1, 'ceil') ; 1.005 | round(2) ; 42.7 | round | int ; -0.5 | round ; 7 | round(1, 'floor')
'aXbXc' | replace('X', '-') ; 'aXbXc' | replace('X', '-', 1) ; 'abc' | replace('', '.') ; 123 | replace(2, 'x') ; 'aaa' | replace('a', 'aa', 2)
s | reverse ; list | reverse | list ; list | reverse | first ; list | sort ; list | sort(reverse=true) ; mixed | sort ; mixed | sort(case_sensitive=true) ; mixed | unique | list ; mixed | unique(true) | list ; [1, 'a'] | sort ; list | reverse
people | sort(attribute='age') | map(attribute='name') | join(',') ; people | sort(attribute='age', reverse=true) | map(attribute='name') | join(',') ; people | sort(attribute='age,name') | map(attribute='name') | list
people | map(attribute='name') | map('upper') | list ; people | map(attribute='tags.0', default='-') | list ; list | map('string') | join('+') ; mixed | map('replace', 'a', 'z') | list ; list | map('nosuch') | list ; people | map | list
people | selectattr('age', 'equalto', 30) | map(attribute='name') | list ; people | selectattr('tags') | list | length ; people | rejectattr('age', '>', 26) | map(attribute='name') | list ; people | selectattr('nope', 'defined') | list ; people | selectattr('age', 'in', [25]) | map(attribute='name') | join
list | select('odd') | list ; list | reject('odd') | list ; [0, 1, '', 'a', none] | select | list ; list | select('gt', 1) | list ; list | select('divisibleby', 2) | list ; mixed | select('==', 'b') | list ; mixed | reject('in', ['a', 'b']) | list ; 'x' if [] | select else 'y' ; [] | select | length
d | items | list ; missing | items | list ; d | dictsort ; d | dictsort(reverse=true) | map('first') | join ; {'x': 2, 'y': 1} | dictsort(by='value') ; i | items | list ; d.items() ; d.keys() ; d.values() | list ; d.items() | length ; d.items() | list | first ; 'a' in d.keys() ; list | dictsort
list | min ; list | max ; [] | min ; mixed | max ; people | max(attribute='age') ; mixed | min ; list | sum ; people | sum(attribute='age') ; list | sum(start=10) ; mixed | sum
range(7) | batch(3) | list ; range(7) | batch(3, 'x') | list ; range(7) | slice(3) | list ; range(7) | slice(3, 'x') | list ; 'a b  c_d' | wordcount
text | indent ; text | indent(2, true) ; text | indent(width='> ', blank=true) ; text | indent(first=true) ; 'a\\n' | indent ; 'a\\n' | indent(blank=true) ; '' | indent(first=true)
'<a href="x">&\\'' | e ; '<b>' | escape ; '<b>' | safe ; s | attr('upper') is callable ; d | attr('b')
'  a b '.strip() ~ '|' ; '  a '.lstrip() ~ '|' ; '  a '.rstrip() ~ '|' ; 'xyaxy'.strip('yx') ; 'äaä'.strip('ä') ; '\\u3000a\\u00a0'.strip() ; s.strip('') ; s.strip(none)
'a,b,,c'.split(',') ; 'a,b,c'.split(',', 1) ; 'a b  c '.split() ; ' a b  c '.split(none, 1) ; ''.split() ; ''.split(',') ; 'a,b,c'.rsplit(',', 1) ; 'a,b,c'.rsplit(',') ; 'aaa'.split('aa') ; 'a'.split('') ; 'a--b'.split('--')[-1] ; 'a\\nb\\r\\nc\\n\\n'.splitlines() ; 'x'.split(sep='x', maxsplit=1)
s.startswith('hé') ; s.startswith(('x', 'h')) ; s.endswith('ld') ; s.endswith('') ; 'abc'.startswith('abcd') ; s.startswith(1) ; 'a' is string and 'a'.startswith('a')
s.upper() ; 'ABC'.lower() ; "it's a dog's".title() ; 'aBC dE'.capitalize() ; s.replace('l', 'L') ; s.replace('l', 'L', 2) ; s.find('w') ; s.find('zz') ; s.rfind('l') ; s.find('l', 5) ; s.index('o') ; s.index('zz') ; s.count('l') ; 'aaaa'.count('aa') ; 'abc'.count('') ; ''.find('') ; 'abc'.rfind('') ; 'abc'.find('')
', '.join(mixed) ; ''.join([]) ; ','.join([1]) ; ','.join('abc') ; '5'.isdigit() ; ''.isdigit() ; 'ab'.isalpha() ; 'äb'.isalpha() ; 'a1'.isalnum() ; ' '.isspace() ; 'ab'.islower() ; 'AB1'.isupper() ; '1'.islower() ; 'abc'.removeprefix('ab') ; 'abc'.removesuffix('bc') ; 'abc'.removesuffix('x') ; 'abc'.removesuffix('')
'a=b=c'.partition('=') ; 'a=b=c'.rpartition('=') ; 'abc'.partition('=') ; 'abc'.rpartition('=') ; '{}-{}'.format(1, 'a') ; '{1}{0}'.format('a', 'b') ; '{x}'.format(x=2) ; '{{}}'.format() ; '{}'.format() ; '<think{}>'.format('')
d.get('b') ; d.get('q') ; d.get('q', 'w') ; d.get('Z', 'w') ; d.keys() | list ; list.index(1) ; list.index(9) ; list.count(1) ; list.append(4) ; d.update({}) ; list.append is defined ; d.pop('b') ; list.sort() ; d.copy()
i is number ; f is number ; t is number ; s is number ; i is integer ; t is integer ; f is float ; t is boolean ; i is boolean ; t is true ; i is true ; false is false ; n is none ; missing is none ; s is string ; d is mapping ; list is mapping ; list is sequence ; s is sequence ; d is sequence ; i is sequence ; missing is sequence ; s is iterable ; i is iterable ; missing is iterable ; n is iterable ; range is callable ; s is callable ; missing is callable ; s.strip is callable ; missing is defined ; n is defined ; missing is undefined ; d.q is defined
3 is odd ; 3 is even ; 4 is divisibleby 2 ; 4 is divisibleby(3) ; 'a' is in 'abc' ; 1 is in list ; 3 is eq 3 ; 3 is ne 3 ; 3 is lt 4 ; 3 is ge(3) ; 3 is equalto 3.0 ; 'a' is lower ; 'A' is upper ; n is sameas none ; t is sameas true ; 1 is sameas true ; 'upper' is filter ; 'nope' is filter ; 'odd' is test ; i is not odd ; missing is not defined ; not missing is defined ; s is odd
range(3) | list ; range(1, 4) | list ; range(5, 0, -2) | list ; range(0) | list ; range(100001) ; range(1, 2, 0) ; range('a') ; range(3) | last ; range(10)[2:5] | list ; range(3)[-1]
dict(a=1, b='x') ; dict({'a': 1}, b=2) ; dict([('a', 1)]) ; namespace(a=1).a ; namespace().q is defined ; namespace(a=1).b ; namespace({'a': 2}).a
strftime_now('%d %b %Y') ; strftime_now('%Y-%m-%d %H:%M:%S') ; strftime_now('%A, %B %-d') ; raise_exception('No: ' ~ i) ; nosuch(1) ; s() ; d.b() ; s.nosuch is defined ; s['upper']() ; (s.upper)() ; d['get']('b')
'{"a": [1, 2.5, null, true], "b": "\\u00e9"}' | from_json ; '[1' | from_json ; '5' | from_json + 1 ; n | selectattr('x') | list ; n | select | list
('<a>' | safe) + '<b>' + "'" ; '<' + ('<' | e) ~ '<' ; ('<' | safe | trim) + '<' ; '<' | e | e ; ('<' | safe) ~ '<'
f[:2] ; n[1:] ; d[:2] ; list in d ; 1 in d.items() ; d[list] ; i | indent ; n | map('upper') | list ; missing | map(attribute='x') | list
missing + 1 ; missing < 1 ; missing == missing2 ; missing == none ; missing ~ 'x' ; missing | upper ; missing[0] ; missing() ; [missing] ; missing | list ; missing | string ; missing | int ; missing | trim ; missing | sort
1 is defined and 2 is defined ; (1 if true else 2) + 3 ; [1, 2][0] ; {'a': [1, {'b': 2}]}['a'][1].b ; 'abc'[1] | upper ; -1 | abs ; (-1) | abs ; 1 + -1 ; 'a' if not false ; (1, 2) ; 1, 2
s | upper | lower | title ; (s ~ 'x') | length ; s ~ 'x' | length ; i + 1 | string ; 'a' ~ (i + 1) ; [i, s] | map('string') | map('length') | sum ; d['a'] == {'c': "it's", 'items': 5} ; nested == [[1, 2], [3, [4, 'x']]] ; list != [3, 1]
'a' 'b' is string ; 'abc' == 'ab' 'c' ; 5 not in list and 1 in list ; not 1 in list ; 1 not in list == false ; none is none is defined
"x" if missing is defined and missing.y else "z" ; messages[-1].role ; messages[-1]['content'] ; messages[0:2] | map(attribute='content') | join ; messages | selectattr('role', 'equalto', 'user') | list | length ; (messages | last).content ; messages | length - 1 ; messages | map(attribute='role') | unique | join(',')
"""

TEMPLATES = [
    "a\n", "a\n\n", "", "\n", "\r\na\rb\r\n", "{{ 1 }}\n{{ 2 }}\n", "{{ '\r\n' }}|",
    "{% if true %}\n  a\n{% endif %}\nb", "  {% if true %}x{% endif %}  \n  y",
    "a  {%- if true -%}  b  {%- endif -%}  c", "  {%+ if true %}b{% endif +%}\nc",
    "a\n   {{ 1 }}\n  {{- 2 -}}  \n b", "{# c #}\na\n  {# d #}\nb {#- e -#} c", "a{#+ x +#}\nb",
    "x {% raw %} {{ a }} {% b %} {% endraw %} y", "{%- raw -%}  {% x %}  {%- endraw -%}  z",
    "  {% raw %}\n q\n  {% endraw %}\n r", "{{ {'a': {'b': 1}}['a'] }}}", "{ {% if 1 %}}{% endif %}",
    "{{ '}}' }}{{ \"%}\" }}", "{%if 1%}a{%endif%}", "{% set x = 1 %}\n\n{{ x }}", "{{\n1\n+\n2\n}}\n",
    "\u3000{%- if 1 %}a{% endif -%}\u3000b", "a\t{% if 1 -%}\t\nb{% endif %}",
    "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}"
    "{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ m.role }};{% endfor %}",
    "{% for m in messages %}[{{ loop.previtem.content }}<{{ m.content }}>{{ loop.nextitem.content "
    "if loop.nextitem is defined else '-' }}]{% endfor %}",
    "{% for x in list %}{{ loop.previtem is defined }}{{ loop.nextitem }}|{% endfor %}",
    "{% for x in list %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}{% for x in [1] %}a{% else %}none{% endfor %}",
    "{% for x in list if x > 1 %}{{ x }}{{ loop.last }}{{ loop.length }}{{ loop.index }};{% else %}e"
    "{% endfor %}", "{% for x in list if x > 9 %}a{% else %}e{% endfor %}",
    "{% for x in list if x > 1 %}{{ x }}{{ loop.nextitem }}{{ loop.revindex }};{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}",
    "{% for (a, b) in nested %}{{ a }}/{{ b }};{% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}"
    "{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}",
    "{% for x in n %}{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}",
    "{% for x in i %}{% endfor %}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
    "{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }};"
    "{% endfor %}{{ loop.index }}|{% endfor %}",
    "{% for x in [1, 2] %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }};"
    "{% endfor %}{% endfor %}", "{% for x in list %}{{ loop }}{% endfor %}",
    "{% set x = 1 %}{% for y in [1, 2] %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% for y in [1, 2] %}{% if y == 1 %}{% set z = 5 %}{% endif %}{{ z }};{% endfor %}{{ z }}",
    "{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}", "{% set x = 1, 2 %}{{ x }}", "{% set ns = namespace(a=1) %}{% for x in list"
    " %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.x, y = 1,"
    " 2 %}{{ ns.x }}{{ y }}", "{% set d.x = 1 %}", "{% set q.x = 1 %}", "{% set none = 1 %}",
    "{% set x %}\n a{{ i }}\n{% endset %}[{{ x }}]", "{% set x | upper | trim %} a {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 3 %}{{ y }}{% endset %}{{ x }}{{ y }}",
    "{% set ns = namespace(found=false) %}{% for x in list if not ns.found %}{{ x }}{% if x == 1 %}"
    "{% set ns.found = true %}{% endif %}{% endfor %}",
    "{% macro m(a, b=2, c='x') %}({{ a }},{{ b }},{{ c }}){% endmacro %}{{ m(1) }}{{ m(1, c=3) }}"
    "{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(z=2) }}", "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}",
    "{% macro m(a, b=a + 1) %}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% macro m(t) %}<{{ caller() }}|{{ t }}>{% endmacro %}{% call m('x') %}body{{ i }}{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}+{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m() %}a{% endmacro %}{% call m() %}"
    "{% endcall %}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{{ i }}{{ late }}{% endmacro %}{% set late = 'L' %}{{ m() }}",
    "{% macro m() %}{% set i = 9 %}{{ i }}{% endmacro %}{{ m() }}{{ i }}",
    "{% for x in [1, 2] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %}  a  {% endmacro %}[{{ m() | trim }}]{{ m() | length }}{{ m() == '  a  ' }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | title %}abc a{% endfilter"
    " %}", "{% with a = 1, b = i %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set z = 1 %}{{ z }}"
    "{% endwith %}{{ z }}", "{% with i = 1, b = i %}{{ b }}{% endwith %}",
    "{% generation %}a{% set z = 1 %}{{ s }}{% endgeneration %}{{ z }}",
    "{% if i == 1 %}a{% elif i == 7 %}b{% elif true %}c{% else %}d{% endif %}",
    "{% if i == 1 %}a{% elif i == 2 %}b{% else %}d{% endif %}{% if missing %}x{% endif %}",
    "{% if list is iterable and list is not mapping %}y{% endif %}", "{% if (1, 2) %}y{% endif %}",
    "{% for m in messages %}{{ raise_exception('stop at ' + m.content) if loop.index == 2 }}"
    "{% endfor %}", "{% if not x is defined %}{% set x = 'new' %}{% endif %}{{ x }}",
    "{% if tools is none %}none{% endif %}{% if documents is none %}none{% endif %}{{ tools }}",
    "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ messages | length }}",
    "{% set m = messages[0] %}{% set c = m['content'] %}{{ c }}{% set messages = messages[1:] %}"
    "{{ messages | length }}", "{% if i %}a", "{% endif %}", "{% for %}", "{{ }}", "{{ 1", "{% if 1 }}",
    "{# open", "{{ 'open }}", "{{ (1 }}", "{{ 1) }}", "{{ [1 2] }}", "{{ a b }}", "{{ 1 + }}", "{{ a. }}",
    "{% raw %}x", "{% set x %}", "{{ $ }}", "{{ {'a' 1} }}", "{% macro %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{{ m(a=1, 2) }}", "{% for x in list %}", "{% nonsense %}",
    "{% break %}", "{% call 1 %}{% endcall %}", "{{ x is nosuch }}", "{{ x | nosuch }}", "{{ x is }}",
    "{% for loop in list %}{% endfor %}", "{{ 1 is defined is defined }}", "{% if %}{% endif %}",
    "{% else %}", "{% for x in list recursive %}{{ loop(1) }}{% endfor %}", "{{ 1..2 }}", "{{ 01 }}",
    "{% set x = 'a' %}{% set y = x + 'b' %}{% set z = x + 'c' %}{{ x }}{{ y }}{{ z }}{% set w = y + z %}"
    "{{ w }}{% set v = y + 'd' %}{{ v }}{{ w }}{{ y }}",
    "{% set ns = namespace(t='') %}{% for x in range(50) %}{% set ns.t = ns.t + 'ab' ~ x %}{% endfor %}"
    "{{ ns.t }}", "{% set ns = namespace(a=1, b='x') %}{{ ns }}", "{% set r = mixed | map('upper') %}"
    "{{ r | list }}{{ r | list }}", "{% set r = list | select %}{% for x in r %}{{ x }}{% endfor %}"
    "{% for x in r %}{{ x }}{% else %}empty{% endfor %}",
    "{% set x = {'a': 1} %}{% for k, v in x | items %}{{ k }}{{ v }}{% endfor %}",
    "{% set parts = s.split(' ') %}{% for p in parts[:-1] %}{{ p }}{% endfor %}{{ parts | last }}",
    "{%- for x in range(3) -%}\n  {{ x }}\n{%- endfor -%}\n", "{% set x = 1 -%}\n  {{ x }}",
    "{%- set q = 'it''s' -%}{{ q }}", "{{ s[:-1] ~ s[-1:] }}{{ s[3:3] }}{{ text.split('\\n')[-1].strip() }}",
    "{% for p in people | sort(attribute='name') %}{{ p.name }}{{ ', ' if not loop.last }}{% endfor %}",
    "{% set content = messages[0].content if messages[0].content is string else '' %}{{ content }}",
    "{% for group in [1, 2, 3, 4] | batch(2) %}{{ group | join('-') }};{% endfor %}",
    "{% for m in messages[::-1] %}{% set index = (messages | length - 1) - loop.index0 %}{{ index }}"
    "{{ m.content }}{% endfor %}", "{{ '%s' % 1 }}", "{{ 'a' if 1 else }}", "{{ d.a.items() }}",
    "{{ lipsum() }}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
    "{% set a = [1, [2]] %}{% set b = a + a %}{{ b }}{{ a }}", "{{ ({'a': 1}).a }}{{ [1,2] | first }}",
]

# Jinja2 runs these; the subset refuses them, which is part of what it promises.
REFUSED = ["{% include", "{{ lipsum", "{{ '%s'", "loop(1)", "{{ loop }}", "{{ d.items }}",
           "{{ list | reverse }}"]

SMALL = ["{{ " + expression.strip() + " }}" for line in EXPRESSIONS.strip().split("\n")
         for expression in line.split(" ; ")] + TEMPLATES

FAMILIES = {
    "chatml": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
""",
    "chatml, marked": """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{- message.content + '<|im_end|>' }}{% endgeneration %}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
""",
    "llama 2": """{% if messages and messages[0].role == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0].content %}{% else %}{% set turns = messages %}{% set system = false %}{% endif %}
{% for message in turns %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('user and assistant must take turns, message ' ~ loop.index) }}
    {%- endif %}
    {%- if loop.index0 == 0 and system %}
        {%- set content = '<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' ~ message.content %}
    {%- else %}
        {%- set content = message.content %}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {{- ' ' + content | trim + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}
""",
    "llama 3": """{{- bos_token }}
{%- if date is not defined %}{%- set date = strftime_now('%d %b %Y') %}{%- endif %}
{%- if messages and messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}
{{- 'Today: ' + date + '\\n\\n' }}
{%- if tools is not none %}
    {{- 'Answer with {"name": ..., "parameters": ...}.\\n\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {{- '\\n\\n' }}
    {%- endfor %}
{%- endif %}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception('one call at a time, please') }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}
        {{- '}<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "mistral": """{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- set users = turns | selectattr('role', 'equalto', 'user') | list %}
{%- set ns = namespace(index=0) %}
{%- for message in turns %}
    {%- if not (message.role == 'tool' or message.role == 'tool_results' or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message['role'] == 'user') != (ns.index % 2 == 0) %}
            {{- raise_exception('After the optional system message, roles must alternate.') }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message.role == 'user' %}
        {%- if tools is not none and message == users[-1] %}
            {{- '[AVAILABLE_TOOLS][' }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.items() if key != 'return' %}
                    {%- if value is string %}
                        {{- '"' + key + '": "' + value + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + value | tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ', ' }}{%- endif %}
                {%- endfor %}
                {{- '}}' }}
                {%- if not loop.last %}{{- ', ' }}{%- else %}{{- ']' }}{%- endif %}
            {%- endfor %}
            {{- '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {%- if loop.last and system is defined %}
            {{- '[INST]' + system + '\\n\\n' + message.content + '[/INST]' }}
        {%- else %}
            {{- '[INST]' + message.content + '[/INST]' }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- '[TOOL_CALLS][' }}
        {%- for call in message.tool_calls %}
            {%- set text = call.function | tojson %}
            {{- text[:-1] }}
            {%- if call.id is not defined or call.id | length != 9 %}
                {{- raise_exception('ids of calls have 9 characters') }}
            {%- endif %}
            {{- ', "id": "' + call.id + '"}' }}
            {{- ', ' if not loop.last else ']' + eos_token }}
        {%- endfor %}
    {%- elif message.role == 'assistant' %}
        {{- message.content + eos_token }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS]{"content": ' ~ message.content ~ ', "call_id": "' ~ message.tool_call_id ~ '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception('unknown role: ' + message.role) }}
    {%- endif %}
{%- endfor %}
""",
    "qwen 3": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- '# Tools\\n\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages and messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(asking=true, last=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.asking and message.role == 'user' and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.asking = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- if (loop.first and content) or not loop.first %}{{- '\\n' }}{%- endif %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "gemma": """{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' }}{% if message['content'] is string %}{{ message['content'] | trim }}{% elif message['content'] is iterable %}{% for part in message['content'] %}{{ part['text'] | trim if part['type'] == 'text' else '<image>' }}{% endfor %}{% endif %}{{ '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model
' }}{% endif %}
""",
    "deepseek r1": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=true, is_tool=false, system='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system = message['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{ '<|User|>' + message['content'] }}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- for call in message['tool_calls'] %}{%- if ns.is_first %}{{ '<|Assistant|><|calls|>' + call['function']['name'] + '\\n' + '```json' + '\\n' + call['function']['arguments'] | tojson + '\\n' + '```' }}{%- set ns.is_first = false -%}{%- else %}{{ '\\n' + call['function']['name'] }}{%- endif %}{%- endfor %}{{ eos_token }}{%- elif message['role'] == 'assistant' %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{ '<|Assistant|>' + content + eos_token }}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{ '<|out|>' + message['content'] }}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{ '<|Assistant|><think>\\n' }}{% endif %}
""",
    "phi": """{%- macro turn(role, text) -%}
<|{{ role }}|>
{{ text }}<|end|>
{% endmacro -%}
{% for message in messages %}
{% if message.role in ['system', 'user', 'assistant'] and message.content %}
{{ turn(message.role, message.content if message.content is string else message.content | map(attribute='text') | join) }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>\\n' }}
{% else %}
{{ eos_token }}
{% endif %}
""",
    "schema": """{%- macro shape(schema, level=0) -%}
    {%- if schema.type == 'object' -%}
        {%- set pad = '  ' * (level + 1) -%}
        {{- '{\\n' -}}
        {%- for key, value in schema.get('properties', {}) | dictsort -%}
            {{- pad ~ key ~ ('' if key in (schema.required or []) else '?') ~ ': ' ~ shape(value, level + 1) ~ ',\\n' -}}
        {%- endfor -%}
        {{- '  ' * level ~ '}' -}}
    {%- elif schema.enum is defined -%}
        {{- schema.enum | map('tojson') | join(' | ') -}}
    {%- elif schema.type is iterable and schema.type is not string -%}
        {{- schema.type | join(' | ') -}}
    {%- else -%}
        {{- schema.type | default('any') | replace('integer', 'number') -}}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
{{ tool.function.name }}({{ shape(tool.function.parameters) }})
{% endfor %}
{%- for message in messages if message.role != 'system' %}
{{ loop.index }}/{{ loop.length }} {{ message.role | title }}: {{ (message.content or 'nothing') | string | indent(2) }}
{% endfor %}
""",
}
