/* SPDX-License-Identifier: Apache-2.0 */
/* config_flags.c -- the command line: defaults, then the file, then the flags. */
#include "daemon/config_keys.h"

#include <stdlib.h>
#include <string.h>

struct arguments {
    int count;
    char **values;
    int at; /* the next to read */
};

/* What one pass over the flags found besides the keys. */
struct command_line {
    const char *config_path; /* NULL when not given */
    enum config_command command;
};

/* Splits "--flag=value" or takes the next argument. NULL and err when there is none. */
static const char *flag_value(struct arguments *arguments, const char *flag, struct error *err)
{
    const char *equals = strchr(arguments->values[arguments->at], '=');
    arguments->at++;
    if (equals != NULL)
        return equals + 1;
    if (arguments->at < arguments->count)
        return arguments->values[arguments->at++];
    error_set(err, ERROR_UNSUPPORTED, "%s: expected a value after it", flag);
    return NULL;
}

static bool flag_is(const char *argument, const char *flag)
{
    size_t count = strlen(flag);
    return strncmp(argument, flag, count) == 0 &&
           (argument[count] == '\0' || argument[count] == '=');
}

static const struct config_key *key_of_flag(const char *argument)
{
    for (uint32_t i = 0; i < config_key_count; i++)
        if (config_keys[i].flag != NULL && flag_is(argument, config_keys[i].flag))
            return &config_keys[i];
    return NULL;
}

/* "PATH", or "ID=PATH" where nothing before the first '=' looks like a folder. */
static int add_model_flag(struct config *config, const char *value, struct error *err)
{
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || memchr(value, '/', (size_t)(equals - value)) != NULL)
        return config_add_model(config,
                                &(struct config_model){.id = (char *)"",
                                                       .path = (char *)value,
                                                       .license = (char *)"",
                                                       .product = (char *)""},
                                err);
    char *id = strndup(value, (size_t)(equals - value));
    if (id == NULL)
        return error_no_memory(err);
    int result = config_add_model(
        config,
        &(struct config_model){
            .id = id, .path = (char *)equals + 1, .license = (char *)"", .product = (char *)""},
        err);
    free(id);
    return result;
}

/* Under ERROR_UNSUPPORTED, which tells main() that the command line is at fault. */
static int usage_error(struct error *err, const char *flag)
{
    (void)error_wrap(err, "%s", flag);
    if (err != NULL && err->code == ERROR_INVALID)
        err->code = ERROR_UNSUPPORTED;
    return err != NULL ? err->code : ERROR_UNSUPPORTED;
}

/* One argument. config is NULL in the first pass, which only looks for --config and commands. */
static int read_argument(struct arguments *arguments, struct config *config,
                         struct command_line *line, struct error *err)
{
    const char *argument = arguments->values[arguments->at];
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0 ||
        strcmp(argument, "--version") == 0 || strcmp(argument, "--check") == 0) {
        line->command = argument[2] == 'v'   ? CONFIG_VERSION
                        : argument[2] == 'c' ? CONFIG_CHECK
                                             : CONFIG_HELP;
        arguments->at++;
        return 0;
    }
    const struct config_key *key = key_of_flag(argument);
    const char *flag = key != NULL                     ? key->flag
                       : flag_is(argument, "--model")  ? "--model"
                       : flag_is(argument, "--config") ? "--config"
                                                       : NULL;
    if (flag == NULL)
        return error_set(err, ERROR_UNSUPPORTED, "%.100s: unknown; weir --help lists the flags",
                         argument);
    const char *value = flag_value(arguments, flag, err);
    if (value == NULL)
        return ERROR_UNSUPPORTED;
    int result = 0;
    if (strcmp(flag, "--config") == 0)
        line->config_path = value;
    else if (config != NULL && key != NULL)
        result = config_key_set(config, key, value, err);
    else if (config != NULL)
        result = add_model_flag(config, value, err);
    return result == 0 ? 0 : usage_error(err, flag);
}

static int read_flags(int argc, char **argv, struct config *config, struct command_line *line,
                      struct error *err)
{
    struct arguments arguments = {.count = argc, .values = argv, .at = 1};
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        arguments.at = 2;
    bool models_replaced = false;
    while (arguments.at < argc) {
        if (config != NULL && !models_replaced && flag_is(argv[arguments.at], "--model")) {
            config_clear_models(config); /* models of flags stand in for the file's */
            models_replaced = true;
        }
        int result = read_argument(&arguments, config, line, err);
        if (result != 0)
            return result;
    }
    return 0;
}

/* What no single key can know. */
static int check_whole(const struct config *config, const char *file, struct error *err)
{
    const char *name = file != NULL ? file : "command line";
    int code = file != NULL ? ERROR_INVALID : ERROR_UNSUPPORTED;
    if (config->model_count == 0)
        return error_set(err, code,
                         "%s: no model: give --model PATH, or a list under models:", name);
    struct error inner = {0};
    if (config_check_tls(config, &inner) != 0)
        return error_set(err, code, "%s: server.tls: %s", name, inner.text);
    if (config_check_listeners(config, &inner) != 0)
        return error_set(err, code, "%s: %s", name, inner.text);
    return config_check_tenants(config, err) == 0 ? 0 : error_wrap(err, "%s", name);
}

int config_parse(int argc, char **argv, struct config **ret, enum config_command *ret_command,
                 struct error *err)
{
    struct command_line line = {.command = CONFIG_SERVE};
    int result = read_flags(argc, argv, NULL, &line, err);
    if (result != 0)
        return result;
    struct config *config = config_new(err);
    if (config == NULL)
        return ERROR_NO_MEMORY;
    if (line.command == CONFIG_SERVE || line.command == CONFIG_CHECK) {
        if (line.config_path != NULL)
            result = config_load_file(config, line.config_path, err);
        if (result == 0)
            result = read_flags(argc, argv, config, &line, err);
        if (result == 0)
            result = check_whole(config, line.config_path, err);
    }
    if (result != 0) {
        config_free(config);
        return result;
    }
    config->argc = argc;
    config->argv = argv;
    *ret = config;
    *ret_command = line.command;
    return 0;
}

int config_parse_again(struct config *config, struct config **ret, struct error *err)
{
    enum config_command command;
    if (config->argc > 0)
        return config_parse(config->argc, config->argv, ret, &command, err);
    if (config->path[0] != '\0')
        return config_read(config->path, ret, err);
    *ret = config_ref(config);
    return 0;
}

const char *config_usage(void)
{
    return "weir -- serve open-weights language models\n"
           "\n"
           "  weir [serve] --model PATH [flags]      serve a GGUF file\n"
           "  weir [serve] --config FILE [flags]     serve what the file says\n"
           "  weir check MODEL|FOLDER|ID [flags]     what a model's licence asks of you\n"
           "  weir health [--ready]                  whether a running daemon is well\n"
           "  weir licenses list|show|lint           the licences that are known\n"
           "  weir keys new|list|revoke              API keys in a file, hashed\n"
           "  weir report --month YYYY-MM            users and licences of a month, as evidence\n"
           "  weir simulate [flags]                  rehearse alerts before a user threshold\n"
           "  weir usage [flags]                     users counted now, from a running daemon\n"
           "  weir top [flags]                       what a running daemon is busy with\n"
           "  weir bench --roofline MODEL --gpu GPU  tokens a second that a GPU could make\n"
           "\n"
           "  --config FILE          weir.yaml; flags win over it\n"
           "  --model [ID=]PATH      a GGUF file to serve; may be repeated\n"
           "  --listen ADDRESS       address to bind                   127.0.0.1\n"
           "  --port PORT            0: the system chooses             8080\n"
           "  --tls-certificate FILE PEM, with --tls-key FILE        clear text\n"
           "  --workers COUNT        network threads                   auto\n"
           "  --device DEVICE        auto, cpu or cuda                 auto\n"
           "  --gpu-memory-utilization SHARE  of the GPU's memory      0.90\n"
           "  --threads COUNT        compute threads                   auto: one a core\n"
           "  --context TOKENS       of one sequence                   auto: the model's\n"
           "  --kv-memory SIZE       for keys and values, e.g. 2GiB    auto\n"
           "  --kv-format FORMAT     of keys and values: f16, bf16, fp8  f16\n"
           "  --max-sequences COUNT  running at once                   64\n"
           "  --max-step-tokens N    tokens in one forward pass        512\n"
           "  --max-queue COUNT      waiting; beyond, 429              1024\n"
           "  --prefix-cache SWITCH  reuse what prompts share          true\n"
           "  --state FOLDER         user counts and licence verdicts  ~/.local/state/weir\n"
           "  --log-level LEVEL      debug, info, warn, error          info\n"
           "  --log-format FORMAT    logfmt or json                    logfmt\n"
           "  --check                read the configuration, say what is wrong, and leave\n"
           "  --version, --help\n"
           "\n"
           "SIGHUP reads settings, keys, certificates and licences again; SIGUSR1 dumps the "
           "state.\n"
           "Exit status: 0 fine, 64 wrong command line, 78 wrong configuration or no model that "
           "its\n"
           "licence allows, 1 anything else; the others say theirs under --help.\n";
}
