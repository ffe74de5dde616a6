/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "policy/users/gateway.h"
#include "tests/unit/policy/token_maker.h"

#define NOW INT64_C(1796083200)

static struct gateway our_gateway(void)
{
    struct gateway gateway = {.secret_count = 40, .window_s = GATEWAY_WINDOW_S};
    for (size_t i = 0; i < gateway.secret_count; i++)
        gateway.secret[i] = (uint8_t)(i * 5 + 1);
    return gateway;
}

static void sign(const struct gateway *gateway, long long unix_s, const char *id, struct text *out)
{
    token_gateway(gateway->secret, gateway->secret_count, unix_s, id, out);
}

static void refuse(const struct gateway *gateway, const char *value, const char *why)
{
    struct error err = {0};
    char id[GATEWAY_ID_MAX + 1] = "untouched";
    assert_int_equal(gateway_verify(gateway, value, NOW, id, &err), ERROR_REFUSED);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_string_equal(id, "untouched");
    assert_int_equal(gateway_verify(gateway, value, NOW, id, NULL), ERROR_REFUSED);
}

static void signed_header_names_the_user(void **state)
{
    (void)state;
    struct gateway gateway = our_gateway();
    struct text value = {0};
    char id[GATEWAY_ID_MAX + 1];
    sign(&gateway, NOW, "YWxpY2U", &value);
    assert_int_equal(gateway_verify(&gateway, text_string(&value), NOW, id, NULL), 0);
    assert_string_equal(id, "alice");
    for (char *c = strstr(value.bytes, "sig="); *c != '\0'; c++) /* digits of either case */
        *c = c < strstr(value.bytes, "sig=") + 4 ? *c : (char)toupper((unsigned char)*c);
    assert_int_equal(gateway_verify(&gateway, text_string(&value), NOW, id, NULL), 0);
    text_destroy(&value);
}

/* HMAC-SHA256 by another program: printf 'v1;t=1796083200;id=YWxpY2U' | openssl dgst -sha256
 * -hmac 0123456789abcdef0123456789abcdef */
static void format_is_what_the_manual_says(void **state)
{
    (void)state;
    struct gateway gateway = {.secret_count = 32, .window_s = GATEWAY_WINDOW_S};
    memcpy(gateway.secret, "0123456789abcdef0123456789abcdef", 32);
    char id[GATEWAY_ID_MAX + 1];
    assert_int_equal(
        gateway_verify(&gateway,
                       "v1;t=1796083200;id=YWxpY2U;sig="
                       "23da4ec65f949b26ef963170d8f8b2f119895cd602dfb3b3f3f7b3023bc1f6df",
                       NOW, id, NULL),
        0);
    assert_string_equal(id, "alice");
}

static void any_changed_byte_is_refused(void **state)
{
    (void)state;
    struct gateway gateway = our_gateway();
    struct text value = {0};
    char id[GATEWAY_ID_MAX + 1];
    sign(&gateway, NOW, "YWxpY2U", &value);
    for (size_t i = 0; i < value.count; i++) {
        char kept = value.bytes[i];
        value.bytes[i] = kept == '1' ? '2' : '1';
        assert_int_equal(gateway_verify(&gateway, value.bytes, NOW, id, NULL), ERROR_REFUSED);
        value.bytes[i] = '\0';
        assert_int_equal(gateway_verify(&gateway, value.bytes, NOW, id, NULL), ERROR_REFUSED);
        value.bytes[i] = kept;
    }
    struct gateway other = our_gateway();
    other.secret[0] ^= 1;
    refuse(&other, text_string(&value), "not of our secret");
    text_destroy(&value);
}

static void header_is_good_for_a_window(void **state)
{
    (void)state;
    struct gateway gateway = our_gateway();
    struct text value = {0};
    char id[GATEWAY_ID_MAX + 1];
    const int64_t at[] = {NOW - GATEWAY_WINDOW_S, NOW + GATEWAY_WINDOW_S};
    for (size_t i = 0; i < 2; i++) {
        sign(&gateway, at[i], "YQ", &value);
        assert_int_equal(gateway_verify(&gateway, text_string(&value), NOW, id, NULL), 0);
    }
    sign(&gateway, NOW - GATEWAY_WINDOW_S - 1, "YQ", &value);
    refuse(&gateway, text_string(&value), "signed 301 s ago, at most 300");
    sign(&gateway, NOW + GATEWAY_WINDOW_S + 1, "YQ", &value);
    refuse(&gateway, text_string(&value), "signed 301 s from now");
    sign(&gateway, 999999999999, "YQ", &value);
    refuse(&gateway, text_string(&value), "from now");
    text_destroy(&value);
}

static void id_is_plain_text_in_canonical_base64url(void **state)
{
    (void)state;
    struct gateway gateway = our_gateway();
    struct text value = {0}, spelled = {0};
    char bytes[GATEWAY_ID_MAX + 1], id[GATEWAY_ID_MAX + 1];
    static const struct {
        const char *id, *why;
    } ids[] = {{"", "the id is not"},           {"YWxpY2V", "the id is not"},
               {"YWxpY2U=", "the id is not"},   {"YW xp", "the id is not"},
               {"YQBi", "control characters"}, /* a NUL b */
               {"YQpi", "control characters"}, /* a newline b */
               {"YcKFYg", "control characters"} /* a U+0085 b */};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        sign(&gateway, NOW, ids[i].id, &value);
        refuse(&gateway, text_string(&value), ids[i].why);
    }
    memset(bytes, 'x', sizeof bytes);
    token_base64url(bytes, GATEWAY_ID_MAX, &spelled);
    sign(&gateway, NOW, text_string(&spelled), &value);
    assert_int_equal(gateway_verify(&gateway, text_string(&value), NOW, id, NULL), 0);
    assert_int_equal(strlen(id), GATEWAY_ID_MAX);
    text_reset(&spelled);
    token_base64url(bytes, GATEWAY_ID_MAX + 1, &spelled);
    sign(&gateway, NOW, text_string(&spelled), &value);
    refuse(&gateway, text_string(&value), "the id is not");
    text_destroy(&spelled);
    text_destroy(&value);
}

static void parts_have_one_order_and_one_spelling(void **state)
{
    (void)state;
    struct gateway gateway = our_gateway();
    char long_value[GATEWAY_VALUE_MAX + 2];
    static const char *const values[] = {
        "",
        "v1",
        "v2;t=1;id=YQ;sig=00",
        "v1;id=YQ;t=1;sig=00",
        "v1;t=;id=YQ;sig=00",
        "v1;t=01;id=YQ;sig=00",
        "v1;t=-1;id=YQ;sig=00",
        "v1;t=+1;id=YQ;sig=00",
        "v1;t=1234567890123;id=YQ;sig=00",
        "v1;t=1;id=YQ",
        "v1;t=1;id=YQ;sig=0",
        " v1;t=1;id=YQ;sig=0000000000000000000000000000000000000000000000000000000000000000",
        "v1;t=1;id=YQ;sig=0000000000000000000000000000000000000000000000000000000000000000 ",
        "v1;t=1;id=YQ;sig=000000000000000000000000000000000000000000000000000000000000000g",
        "v1;t=1;id=YQ;x=1;sig=0000000000000000000000000000000000000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        refuse(&gateway, values[i], "expected v1;");
    memset(long_value, 'v', sizeof long_value);
    long_value[GATEWAY_VALUE_MAX + 1] = '\0';
    refuse(&gateway, long_value, "longer than 1024 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_header_names_the_user),
        cmocka_unit_test(format_is_what_the_manual_says),
        cmocka_unit_test(any_changed_byte_is_refused),
        cmocka_unit_test(header_is_good_for_a_window),
        cmocka_unit_test(id_is_plain_text_in_canonical_base64url),
        cmocka_unit_test(parts_have_one_order_and_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
