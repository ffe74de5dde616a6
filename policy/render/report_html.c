/* SPDX-License-Identifier: Apache-2.0 */
/* report_html.c -- the report as a page that can be filed, printed and read offline.
 *
 * Nothing in it is loaded from elsewhere and nothing runs: the content security policy allows one
 * style sheet, by its hash, and no script, image, font, form or frame. Whatever the ledger holds
 * goes through report_html_text(), which leaves neither markup nor marks that hide or turn text. */
#include "policy/license/month.h"
#include "policy/render/plain.h"
#include "policy/render/report_render.h"
#include "policy/render/report_view.h"

#include <openssl/evp.h>
#include <string.h>

#define DIGEST_BYTES 32u

static const char style[] =
    ":root{color-scheme:light dark;--ink:#16202c;--soft:#5a6775;--ground:#fff;--card:#f5f7f9;"
    "--rule:#d9dfe5;--blue:#0b5cad;--band:#a9cdf0;--line:#b3261e;--good:#1b7a43;--warn:#8a5a00;"
    "--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9aa7b4;--ground:#11161c;"
    "--card:#1a222b;--rule:#323d49;--blue:#6cb2f5;--band:#2a527a;--line:#ff8a80;--good:#6fd09a;"
    "--warn:#e3b34f;--bad:#ff8a80}}"
    "@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--ground:#fff;--card:#fff;"
    "--rule:#bbb;--blue:#0b5cad;--band:#cfe2f5;--line:#b3261e;--good:#1b7a43;--warn:#8a5a00;"
    "--bad:#b3261e}"
    "section,figure,tr,li{break-inside:avoid}h2,h3{break-after:avoid}main{max-width:none;"
    "padding:0}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);"
    "font:15px/1.55 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif;"
    "print-color-adjust:exact}"
    "main{max-width:880px;margin:0 auto;padding:48px 28px 64px}"
    "header{border-bottom:2px solid var(--ink);padding-bottom:18px;margin-bottom:28px}"
    "header p{margin:0;color:var(--soft)}h1{font-size:30px;line-height:1.2;margin:2px 0 6px;"
    "letter-spacing:-.01em}h2{font-size:21px;margin:44px 0 10px;padding-top:14px;"
    "border-top:1px solid var(--rule)}h3{font-size:15px;margin:26px 0 6px}"
    "p{margin:8px 0}small,.soft{color:var(--soft);font-size:13px}"
    "table{border-collapse:collapse;width:100%;margin:10px 0;font-size:14px}"
    "th{text-align:left;white-space:nowrap;font-weight:600;color:var(--soft);font-size:12.5px}"
    "th,td{padding:7px 10px 7px 0;border-bottom:1px solid var(--rule);vertical-align:top;"
    "overflow-wrap:anywhere}"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;"
    "overflow-wrap:normal}.ids th:first-child{width:24%}"
    ".three{display:grid;grid-template-columns:repeat(3,1fr);gap:12px;margin:14px 0}"
    ".three div{background:var(--card);border:1px solid var(--rule);border-radius:8px;"
    "padding:12px 14px}.three b{display:block;font-size:25px;line-height:1.25;font-weight:650;"
    "font-variant-numeric:tabular-nums;letter-spacing:-.01em}.three .main{border-color:"
    "var(--blue)}.three span{color:var(--soft);font-size:12.5px;display:block}"
    "@media(max-width:560px){.three{grid-template-columns:1fr}}"
    "figure{margin:16px 0}svg{width:100%;height:auto;display:block;overflow:visible}"
    "figcaption{font-size:12.5px;color:var(--soft);margin-top:4px}figcaption span{margin-left:14px}"
    ".grid{stroke:var(--rule);stroke-width:1}.tick{fill:var(--soft);font-size:11.5px;"
    "font-variant-numeric:tabular-nums}.end{text-anchor:end}.mid{text-anchor:middle}"
    ".band{fill:var(--band);opacity:.75}.best{fill:none;stroke:var(--blue);stroke-width:2.25;"
    "stroke-linejoin:round}.dot{fill:var(--blue)}"
    ".line{stroke:var(--line);stroke-width:1.75;stroke-dasharray:7 5}"
    ".mark{fill:var(--line);font-size:12px;font-weight:600}"
    ".key{display:inline-block;width:20px;height:10px;margin:0 6px 0 14px}"
    ".key:first-child{margin-left:0}"
    ".curve{height:0;border-top:3px solid var(--blue);vertical-align:middle}"
    ".area{background:var(--band)}.dash{height:0;border-top:2px dashed var(--line);"
    "vertical-align:middle}"
    ".share{margin:6px 0 2px}.ground{fill:var(--card);stroke:var(--rule)}.sure{fill:var(--blue)}"
    ".maybe{fill:var(--band)}.needle{stroke:var(--ink);stroke-width:2}"
    ".quarter{stroke:var(--soft);stroke-width:1;opacity:.5}"
    ".tag{display:inline-block;border:1px solid currentColor;border-radius:999px;padding:0 9px;"
    "font-size:12px;line-height:19px;font-weight:600;color:var(--soft);white-space:nowrap}"
    ".met{color:var(--good)}.watch,.obligation,.review{color:var(--warn)}.breach{color:var(--bad)}"
    ".note{border-left:3px solid var(--warn);padding:2px 0 2px 12px;margin:14px 0}"
    "blockquote{margin:6px 0;padding:8px 12px;background:var(--card);border:1px solid "
    "var(--rule);border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;font-size:13.5px}"
    "code{font:12.5px/1.5 ui-monospace,\"DejaVu Sans Mono\",monospace;overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;font-size:14px}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}";

/* -- Words -- */

static void append_escaped(struct text *out, const struct text *plain)
{
    for (size_t i = 0; i < plain->count; i++) {
        switch (plain->bytes[i]) {
        case '&':
            text_append_string(out, "&amp;");
            break;
        case '<':
            text_append_string(out, "&lt;");
            break;
        case '>':
            text_append_string(out, "&gt;");
            break;
        case '"':
            text_append_string(out, "&quot;");
            break;
        case '\'':
            text_append_string(out, "&#39;");
            break;
        default:
            text_append_char(out, plain->bytes[i]);
        }
    }
    out->failed = out->failed || plain->failed;
}

void report_html_text(struct text *out, const char *string)
{
    struct text plain;
    text_init(&plain);
    plain_append_lines(&plain, string);
    append_escaped(out, &plain);
    text_destroy(&plain);
}

static void append_element(struct text *out, const char *open, const char *string,
                           const char *close)
{
    text_append_string(out, open);
    report_html_text(out, string);
    text_append_string(out, close);
}

/* What was put together for it, which is destroyed. */
static void append_built(struct text *out, struct text *built)
{
    append_escaped(out, built);
    text_destroy(built);
}

static void append_number(struct text *out, const char *open, uint64_t value, const char *close)
{
    text_append_string(out, open);
    plain_number(out, value);
    text_append_string(out, close);
}

/* Only words of ours are classes; any other stays without colour. */
static void append_verdict(struct text *out, const char *verdict)
{
    static const char *const known[] = {"met", "watch", "obligation", "review", "breach"};
    const char *class = "";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(verdict, known[i]) == 0)
            class = known[i];
    text_append_format(out, "<span class=\"tag %s\">", class);
    append_element(out, "", verdict, "</span>");
}

static void append_time(struct text *out, int64_t unix_seconds)
{
    plain_time(out, unix_seconds);
}

/* -- Head -- */

static void append_policy(struct text *out)
{
    unsigned char digest[DIGEST_BYTES] = {0}, base64[4 * ((DIGEST_BYTES + 2) / 3) + 1];
    if (EVP_Digest(style, strlen(style), digest, NULL, EVP_sha256(), NULL) != 1)
        out->failed = true;
    (void)EVP_EncodeBlock(base64, digest, (int)sizeof digest);
    text_append_format(out,
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
                       "'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">",
                       (const char *)base64);
}

static void append_head(struct text *out, const struct report *report)
{
    char stamp[REPORT_STAMP_BYTES];
    report_stamp(report, stamp);
    text_append_format(out,
                       "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"weir-ledger\" content=\"%s\">",
                       stamp);
    append_policy(out);
    text_append_string(out, "<meta name=\"viewport\" content=\"width=device-width\">"
                            "<meta name=\"referrer\" content=\"no-referrer\"><title>Users and "
                            "licences, ");
    report_view_month(report->request.month, out);
    text_append_format(out, "</title><style>%s</style></head>\n<body><main><header><p>", style);
    report_html_text(out,
                     report->operator_name[0] != '\0' ? report->operator_name : "Monthly report");
    text_append_string(out, "</p><h1>Users and licences, ");
    report_view_month(report->request.month, out);
    text_append_string(out, "</h1><p>");
    if (report->request.model[0] != '\0')
        append_element(out, "Model ", report->request.model, " alone. ");
    else if (report->request.family[0] != '\0')
        append_element(out, "Licence family ", report->request.family, " alone. ");
    else if (report->request.organisation)
        text_append_string(out, "The organisation as a whole. ");
    text_append_string(out, "Made ");
    append_time(out, report->request.now_unix);
    text_append_format(out, " by weir %s from row ", WEIR_VERSION);
    plain_number(out, (uint64_t)report->sequence);
    text_append_string(out, " of its ledger.</p></header>\n");
}

/* -- Figures -- */

static void append_bounds(struct text *out, const struct report_month *month)
{
    append_number(out, "<div class=\"three\"><div><span>Lower</span><b>", month->lower.low,
                  "</b><span>verified and trusted identities</span></div>");
    append_number(out, "<div class=\"main\"><span>Best</span><b>", month->best.users,
                  "</b><span>keys and addresses as one user each</span></div>");
    append_number(out, "<div><span>Upper</span><b>", month->upper.high,
                  "</b><span>each anonymous request as a user</span></div></div>");
}

static void append_quality(struct text *out, const struct report_users *users)
{
    const struct report_month *month = &users->month;
    text_append_string(out, "<p class=\"soft\">");
    text_append_string(out, month->exact ? "Counted exactly. " : "Estimated, at the bounds. ");
    text_append_format(out, "Identity coverage %.1f%% of requests; ", 100 * month->coverage);
    append_number(out, "", month->anonymous_requests, " requests without identity");
    if (month->days_missing > 0)
        text_append_format(out, "; <strong>counts of %u days are lost</strong>",
                           month->days_missing);
    text_append_format(out, ". Figures are <strong>%s</strong>, from row ",
                       report_state_name(month->state));
    plain_number(out, (uint64_t)users->sequence);
    text_append_string(out, " of ");
    append_time(out, users->at_unix);
    text_append_string(out, ".</p>");
    if (report_view_lacks_coverage(month))
        append_element(out, "<p class=\"note\">", report_no_coverage, "</p>");
}

static void append_held(struct text *out, const struct report_month *month,
                        const struct report_held *held)
{
    struct text words;
    text_init(&words);
    report_view_line(held->line, &words);
    append_element(out, "<section><h3>", held->condition->id, " ");
    append_verdict(out, held->condition->verdict);
    text_append_string(out, "</h3><p>Line: ");
    append_built(out, &words);
    append_element(out, held->condition->clause[0] == '\0' ? "" : ", ", held->condition->clause,
                   ". Best is <strong>");
    report_view_share(month->best.users, held->line->value, out);
    text_append_string(out, "</strong> of it, upper <strong>");
    report_view_share(month->upper.high, held->line->value, out);
    text_append_string(out, "</strong>.</p>");
    report_svg_share(month, held, out);
    if (held->condition->test_month[0] != '\0') {
        append_element(out, "<p class=\"note\">", report_test_note, " ");
        append_element(out, "Month of the test: ", held->condition->test_month, ".</p>");
    }
    if (report_view_counts_all_products(held->condition))
        append_element(out, "<p class=\"note\">", report_org_note, "</p>");
    text_append_string(out, "</section>");
}

static void append_users(struct text *out, const struct report *report,
                         const struct report_users *users)
{
    const struct report_month *month = &users->month;
    struct report_held held[REPORT_HELD_MAX];
    struct text scope;
    uint32_t count = report_view_held(report, month, held);
    text_init(&scope);
    report_view_scope(month, &scope);
    text_append_string(out, "<h2>");
    append_built(out, &scope);
    text_append_format(out, " <span class=\"tag\">%s</span></h2>", report_state_name(month->state));
    append_bounds(out, month);
    append_quality(out, users);
    report_svg_days(month, held, count, out);
    for (uint32_t i = 0; i < count; i++)
        append_held(out, month, &held[i]);
    if (count == 0)
        text_append_string(out, "<p>No line of monthly users binds here.</p>");
}

static void append_summary(struct text *out, const struct report *report)
{
    if (report->users_count == 0) {
        append_element(out, "<p class=\"note\"><strong>", report_no_figures, "</strong></p>");
        return;
    }
    text_append_string(out, "<table><thead><tr><th>Users of</th><th class=\"n\">Lower</th>"
                            "<th class=\"n\">Best</th><th class=\"n\">Upper</th>"
                            "<th class=\"n\">Nearest line</th><th class=\"n\">Upper of it</th>"
                            "</tr></thead><tbody>");
    for (uint32_t i = 0; i < report->users_count; i++) {
        const struct report_month *month = &report->users[i].month;
        struct report_held held[REPORT_HELD_MAX];
        struct text scope;
        uint32_t count = report_view_held(report, month, held);
        const struct report_held *nearest = count == 0 ? NULL : &held[0];
        for (uint32_t j = 1; j < count; j++)
            if (held[j].line->value < nearest->line->value)
                nearest = &held[j];
        text_init(&scope);
        report_view_scope(month, &scope);
        text_append_string(out, "<tr><td>");
        append_built(out, &scope);
        append_number(out, "</td><td class=\"n\">", month->lower.low, "</td>");
        append_number(out, "<td class=\"n\"><strong>", month->best.users, "</strong></td>");
        append_number(out, "<td class=\"n\">", month->upper.high, "</td><td class=\"n\">");
        if (nearest != NULL) {
            append_number(out, "", nearest->line->value, "</td><td class=\"n\">");
            report_view_share(month->upper.high, nearest->line->value, out);
        } else {
            text_append_string(out, "none</td><td class=\"n\">");
        }
        text_append_string(out, "</td></tr>");
    }
    text_append_string(out, "</tbody></table>");
    append_element(out, "<p class=\"soft\">", report_method, "</p>\n");
}

/* -- Licences -- */

static void append_condition(struct text *out, const struct report_condition *condition)
{
    append_element(out, "<tr><td><code>", condition->id, "</code></td><td>");
    append_verdict(out, condition->verdict);
    append_element(out, "</td><td>", condition->summary, "");
    if (condition->clause[0] != '\0')
        append_element(out, " <small>(", condition->clause, ")</small>");
    for (uint32_t i = 0; i < condition->line_count; i++) {
        struct text words;
        text_init(&words);
        report_view_line(&condition->lines[i], &words);
        text_append_string(out, i == 0 ? "<br><small>Line: " : "<br><small>or ");
        append_built(out, &words);
        text_append_string(out, "</small>");
    }
    if (condition->text[0] != '\0')
        append_element(out, "<blockquote>", condition->text, "</blockquote>");
    if (condition->acknowledged[0] != '\0')
        append_element(out, "<br><small>Taken on under ", condition->acknowledged, "</small>");
    text_append_string(out, "</td></tr>");
}

static void append_license(struct text *out, const struct report_license *license)
{
    uint32_t shown = 0;
    append_element(out, "<h3>", license->model, ": ");
    append_element(out, "", license->license, " ");
    append_verdict(out, license->verdict);
    text_append_string(out, "</h3><p class=\"soft\">In force at the month's end; written ");
    append_time(out, license->at_unix);
    append_number(out, " in row ", (uint64_t)license->sequence, "; ");
    append_number(out, "", license->changes, " written in the month. By the letter: ");
    append_element(out, "", license->literal, "; on a cautious reading: ");
    append_element(out, "", license->conservative, ".</p>");
    for (uint32_t i = 0; i < license->condition_count; i++) {
        const struct report_condition *condition = &license->conditions[i];
        if (!report_view_asks(condition) && condition->line_count == 0)
            continue;
        if (shown++ == 0)
            text_append_string(
                out, "<table class=\"ids\"><thead><tr><th>Condition</th><th>Verdict</th><th>What "
                     "it asks, and its exact words where it wants them "
                     "shown</th></tr></thead><tbody>");
        append_condition(out, condition);
    }
    text_append_string(out, shown > 0 ? "</tbody></table>" : "<p>Nothing is due.</p>");
}

static void append_licenses(struct text *out, const struct report *report)
{
    text_append_string(out, "<h2>Licences and obligations</h2>");
    if (report->license_count == 0)
        text_append_string(out, "<p>The ledger holds no verdict for this month.</p>");
    for (uint32_t i = 0; i < report->license_count; i++)
        append_license(out, &report->licenses[i]);
}

static void append_outside(struct text *out, const struct report *report)
{
    if (report->outside_count == 0)
        return;
    text_append_string(out, "<h2>Declared users outside</h2><p>Whom weir does not see: with a of "
                            "them and b counted, all users are no fewer than the larger of both "
                            "and no more than a + b.</p><table><thead><tr><th>Product</th>"
                            "<th class=\"n\">Users</th><th>Signed by</th><th>Since</th>"
                            "<th>Row</th></tr></thead><tbody>");
    for (uint32_t i = 0; i < report->outside_count; i++) {
        const struct report_outside *one = &report->outside[i];
        append_element(out, "<tr><td>", one->product[0] != '\0' ? one->product : "the organisation",
                       "</td>");
        append_number(out, "<td class=\"n\">", one->users, "</td>");
        append_element(out, "<td>", one->signer[0] != '\0' ? one->signer : "not said", "</td><td>");
        append_time(out, one->at_unix);
        append_number(out, "</td><td>", (uint64_t)one->sequence, "</td></tr>");
    }
    text_append_string(out, "</tbody></table>");
}

static void append_acknowledgements(struct text *out, const struct report *report)
{
    text_append_string(out, "<h2>Acknowledgements</h2>");
    if (report->acknowledgement_count == 0) {
        text_append_string(out, "<p>None.</p>");
        return;
    }
    text_append_string(out, "<table><thead><tr><th>Model</th><th>Condition</th><th>Reference</th>"
                            "<th>Signed by</th><th>Since</th><th>Row</th></tr></thead><tbody>");
    for (uint32_t i = 0; i < report->acknowledgement_count; i++) {
        const struct report_acknowledgement *one = &report->acknowledgements[i];
        append_element(out, "<tr><td>", one->model, "</td>");
        append_element(out, "<td><code>", one->condition, "</code> ");
        append_element(out, "<small>", one->clause, "</small></td>");
        append_element(out, "<td>", one->reference, "");
        text_append_string(out, one->in_force ? "</td>"
                                              : "<br><small>no longer counted on</small></td>");
        append_element(out, "<td>", one->signer[0] != '\0' ? one->signer : "not said", "</td><td>");
        append_time(out, one->at_unix);
        append_number(out, "</td><td>", (uint64_t)one->sequence, "</td></tr>");
    }
    text_append_string(out, "</tbody></table>");
}

/* -- Alerts, anomalies, evidence -- */

static void append_alerts(struct text *out, const struct report *report)
{
    text_append_string(out, "<h2>Alerts of the month</h2>");
    if (report->alert_count == 0) {
        text_append_string(out, "<p>None is in the ledger.</p>");
        return;
    }
    text_append_string(out, "<table><thead><tr><th>Day</th><th>Of</th><th>Condition</th><th>Rule"
                            "</th><th class=\"n\">Upper</th><th class=\"n\">Line</th></tr></thead>"
                            "<tbody>");
    for (uint32_t i = 0; i < report->alert_count; i++) {
        const struct report_alert *alert = &report->alerts[i];
        append_element(out, "<tr><td class=\"n\">", alert->day, "</td>");
        append_element(out, "<td>", alert->scope, "</td>");
        append_element(out, "<td><code>", alert->condition, "</code></td>");
        append_element(out, "<td>", alert->rule, alert->fires ? "" : " <small>cleared</small>");
        if (alert->has_days_early)
            text_append_format(out, "<br><small>%.0f days to the line at the earliest</small>",
                               alert->days_early);
        append_number(out, "</td><td class=\"n\">", (uint64_t)alert->upper, "</td>");
        append_number(out, "<td class=\"n\">", (uint64_t)alert->threshold, "</td></tr>");
    }
    text_append_string(out, "</tbody></table>");
}

static void append_tokens(struct text *out, const struct report *report)
{
    if (report->token_count == 0)
        return;
    text_append_string(out, "<h2>Tokens by tenant and model</h2><table><thead><tr><th>Tenant</th>"
                            "<th>Model</th><th class=\"n\">Requests</th><th class=\"n\">Prompt</th>"
                            "<th class=\"n\">Cached of it</th><th class=\"n\">Generated</th></tr>"
                            "</thead><tbody>");
    for (uint32_t i = 0; i < report->token_count; i++) {
        const struct report_tokens *tokens = &report->tokens[i];
        bool is_named = tokens->tenant[0] != '\0';
        append_element(out, "<tr><td>", is_named ? tokens->tenant : report_no_tenant, "</td>");
        append_element(out, "<td>", tokens->model, "</td>");
        append_number(out, "<td class=\"n\">", tokens->counts.requests, "</td>");
        append_number(out, "<td class=\"n\">", tokens->counts.prompt, "</td>");
        append_number(out, "<td class=\"n\">", tokens->counts.cached, "</td>");
        append_number(out, "<td class=\"n\">", tokens->counts.generated, "</td></tr>");
    }
    text_append_string(out, "</tbody></table>");
    if (report->tokens_untold > 0)
        append_number(out, "<p>And ", report->tokens_untold, " more rows.</p>");
    append_element(out, "<p class=\"soft\">", report_tokens_note, "</p>");
}

static void append_anomalies(struct text *out, const struct report *report)
{
    if (report->anomaly_count == 0)
        return;
    text_append_string(out, "<h2>Anomalies of the ledger</h2><p>These rows are kept, and were not "
                            "taken for figures:</p><ul>");
    for (uint32_t i = 0; i < report->anomaly_count; i++) {
        append_number(out, "<li>Row ", (uint64_t)report->anomalies[i].sequence, ": ");
        append_element(out, "", report->anomalies[i].text, "</li>");
    }
    text_append_string(out, "</ul>");
    if (report->anomalies_untold > 0)
        append_number(out, "<p>And ", report->anomalies_untold, " more.</p>");
}

static void append_evidence(struct text *out, const struct report *report)
{
    text_append_string(out, "<h2>Evidence</h2><dl><dt>Ledger</dt><dd>");
    append_number(out, "verified as a whole up to row ", (uint64_t)report->sequence, "</dd>");
    append_element(out, "<dt>Hash of that row</dt><dd><code>", report->hash, "</code></dd>");
    append_element(out, "<dt>Signature</dt><dd>",
                   report->signer[0] != '\0' ? "Ed25519, in the .sig file beside this one, by key "
                                             : "none",
                   "");
    if (report->signer[0] != '\0')
        append_element(out, "<br><code>", report->signer, "</code>");
    text_append_string(out, "</dd><dt>Made by</dt><dd>weir " WEIR_VERSION ", ");
    append_time(out, report->request.now_unix);
    text_append_string(out, "</dd><dt>To verify</dt><dd><code>weir report --verify FILE</code>"
                            "</dd></dl>");
    append_element(out, "<p class=\"soft\">", report_advice, "</p>");
}

void render_report_html(const struct report *report, struct text *out)
{
    append_head(out, report);
    append_summary(out, report);
    for (uint32_t i = 0; i < report->users_count; i++)
        append_users(out, report, &report->users[i]);
    append_outside(out, report);
    append_licenses(out, report);
    append_acknowledgements(out, report);
    append_alerts(out, report);
    append_tokens(out, report);
    append_anomalies(out, report);
    append_evidence(out, report);
    text_append_string(out, "</main></body></html>\n");
}
