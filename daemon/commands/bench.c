/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c -- weir bench: how fast a model can be. What is measured is named by the first flag that
 * says so; --roofline is what a GPU's data sheet allows. */
#include "daemon/commands/commands.h"

#include "daemon/commands/flag_value.h"
#include "daemon/commands/roofline_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define LAUNCH_US_MOST 1000.0

static const char usage[] =
    "weir bench -- how fast a model can be\n"
    "\n"
    "  weir bench --roofline MODEL --gpu GPU [flags]\n"
    "\n"
    "  --roofline MODEL  of a GGUF file, tokens a second at most, kernel by kernel, from the "
    "bytes\n"
    "                    and operations of a step; no GPU is needed, and no weight is read\n"
    "  --gpu GPU         h100, h200, a100, l40s or 4090\n"
    "  --batch LIST      sequences decoded together; 1,16,64 by default\n"
    "  --context LIST    tokens that each of them has; 1024,4096\n"
    "  --prompt LIST     tokens of a prompt; 1024\n"
    "  --step-tokens N   of a prompt in one step, as engine.max_step_tokens; 512\n"
    "  --launch-us N     what each kernel costs besides what it does, in a decode's graph half; 2\n"
    "  --json            the figures as JSON\n"
    "\n"
    "A kernel takes the longest of its bytes at the memory's full rate and its operations at each\n"
    "pipe's, by the maker's data sheet: nothing is as fast as that. Weights are read once a step;\n"
    "what one kernel leaves in the second cache for the next is counted as if it came from "
    "memory;\n"
    "kernels run one after the other, and tokens are drawn at a temperature of 1. Not counted: "
    "the\n"
    "host's work, waiting for sums in order, clocks that fall.\n"
    "\n"
    "Exit status: 0, 64 wrong command line, 65 no model that a GPU can serve, 66 no such file, 71\n"
    "no memory, 74 standard output that cannot be written.\n";

struct bench_command {
    const char *model, *gpu, *batch, *context, *prompt, *step_tokens, *launch_us;
    bool help, json;
};

static int fail_usage(const char *message, const char *what)
{
    return flag_misused("bench", message, what);
}

static int parse(struct bench_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--json") == 0)
            command->json = true;
        else if (!flag_value("--roofline", argc, argv, &i, &command->model) &&
                 !flag_value("--gpu", argc, argv, &i, &command->gpu) &&
                 !flag_value("--batch", argc, argv, &i, &command->batch) &&
                 !flag_value("--context", argc, argv, &i, &command->context) &&
                 !flag_value("--prompt", argc, argv, &i, &command->prompt) &&
                 !flag_value("--step-tokens", argc, argv, &i, &command->step_tokens) &&
                 !flag_value("--launch-us", argc, argv, &i, &command->launch_us))
            return fail_usage("unknown, or without a value: ", argument);
    }
    return 0;
}

/* A whole number from 1 to most, and what comes behind it. */
static bool read_number(const char *from, uint32_t most, uint32_t *ret, const char **ret_end)
{
    char *end;
    if (*from < '0' || *from > '9')
        return false;
    errno = 0;
    const unsigned long long value = strtoull(from, &end, 10);
    if (errno != 0 || value == 0 || value > most)
        return false;
    *ret = (uint32_t)value;
    *ret_end = end;
    return true;
}

/* "1,16,64"; *ret stays for NULL. */
static bool read_list(const char *value, uint32_t most, struct roofline_list *ret)
{
    if (value == NULL)
        return true;
    struct roofline_list list = {.given = true};
    while (list.count < ROOFLINE_LIST_MAX &&
           read_number(value, most, &list.values[list.count], &value)) {
        list.count++;
        if (*value == '\0') {
            *ret = list;
            return true;
        }
        if (*value++ != ',')
            break;
    }
    return false;
}

static bool read_launch_us(const char *value, double *ret)
{
    char *end;
    if (value == NULL)
        return true;
    const double us = strtod(value, &end);
    if (end == value || *end != '\0' || !(us >= 0 && us <= LAUNCH_US_MOST))
        return false;
    *ret = us;
    return true;
}

static int read_request(const struct bench_command *command, struct roofline_request *ret)
{
    const char *end = "";
    *ret = (struct roofline_request){
        .path = command->model,
        .batches = {.values = {1, 16, 64}, .count = 3},
        .contexts = {.values = {1024, 4096}, .count = 2},
        .prompts = {.values = {1024}, .count = 1},
        .step_tokens = ROOFLINE_STEP_DEFAULT,
        .launch_us = ROOFLINE_LAUNCH_US,
    };
    if (command->model == NULL)
        return fail_usage("what is to be measured? --roofline MODEL", "");
    if (command->gpu == NULL)
        return fail_usage("--roofline wants --gpu, one of h100, h200, a100, l40s, 4090", "");
    ret->gpu = gpu_find(command->gpu);
    if (ret->gpu == NULL)
        return fail_usage("--gpu: h100, h200, a100, l40s and 4090 are known, not ", command->gpu);
    if (!read_list(command->batch, ROOFLINE_BATCH_MAX, &ret->batches))
        return fail_usage("--batch: expected up to 8 numbers from 1 to 1024, got ", command->batch);
    if (!read_list(command->context, ROOFLINE_CONTEXT_MAX, &ret->contexts))
        return fail_usage("--context: expected up to 8 numbers from 1 to 16777216, got ",
                          command->context);
    if (!read_list(command->prompt, ROOFLINE_CONTEXT_MAX, &ret->prompts))
        return fail_usage("--prompt: expected up to 8 numbers from 1 to 16777216, got ",
                          command->prompt);
    if (command->step_tokens != NULL &&
        (!read_number(command->step_tokens, ROOFLINE_STEP_MAX, &ret->step_tokens, &end) ||
         *end != '\0'))
        return fail_usage("--step-tokens: expected a number from 1 to 65536, got ",
                          command->step_tokens);
    if (!read_launch_us(command->launch_us, &ret->launch_us))
        return fail_usage("--launch-us: expected microseconds from 0 to 1000, got ",
                          command->launch_us);
    return 0;
}

static int status_of(int code)
{
    return code == ERROR_REFUSED                         ? EX_USAGE
           : code == ERROR_NOT_FOUND || code == ERROR_IO ? EX_NOINPUT
           : code == ERROR_NO_MEMORY                     ? EX_OSERR
                                                         : EX_DATAERR;
}

static int print(struct text *out)
{
    if (out->failed) {
        (void)fputs("weir bench: out of memory\n", stderr);
        return EX_OSERR;
    }
    if (fwrite(text_string(out), 1, out->count, stdout) != out->count || fflush(stdout) != 0) {
        (void)fputs("weir bench: standard output cannot be written\n", stderr);
        return EX_IOERR;
    }
    return EXIT_SUCCESS;
}

static int answer_request(const struct roofline_request *request, bool json)
{
    struct error err = {0};
    struct text out;
    int status;
    struct roofline_answer *answer = calloc(1, sizeof *answer);
    const int code = answer == NULL ? error_no_memory(&err) : roofline_run(request, answer, &err);
    text_init(&out);
    if (code != 0) {
        (void)fprintf(stderr, "weir bench: %s\n", err.text);
        status = status_of(code);
    } else {
        (json ? roofline_write_json : roofline_write_table)(request, answer, &out);
        status = print(&out);
    }
    text_destroy(&out);
    free(answer);
    return status;
}

int command_bench(int argc, char **argv)
{
    struct bench_command command = {0};
    struct roofline_request request;
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help)
        (void)fputs(usage, stdout);
    if (status != 0 || command.help)
        return status;
    status = read_request(&command, &request);
    return status != 0 ? status : answer_request(&request, command.json);
}
