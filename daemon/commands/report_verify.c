/* SPDX-License-Identifier: Apache-2.0 */
/* report_verify.c -- weir report --verify: a ledger by its chain, a document by its signature and
 * by the row of the ledger that it names.
 *
 * The key is the one that was named; else the one in the state folder, which is the operator's own;
 * else the one beside the document, which whoever sent the document may have put there: the
 * fingerprint is told in each case, for it is what ties the key to somebody. */
#include "base/schema.h"
#include "daemon/commands/report.h"
#include "policy/report/sign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define EXIT_NOT_VERIFIED 1

/* What is damaged does not verify, whoever finds it. */
static int fail(const struct error *err)
{
    int status = report_complain(err);
    return err->code == ERROR_INVALID ? EXIT_NOT_VERIFIED : status;
}

static int verify_ledger(const char *folder)
{
    struct error err = {0};
    int64_t rows = 0;
    struct ledger *ledger = report_open_ledger(folder, &err);
    int result = ledger == NULL ? err.code : ledger_verify(ledger, &rows, &err);
    ledger_close(ledger);
    if (result != 0)
        return fail(&err);
    (void)printf("%s/%s: verified, %lld rows, each as it was written\n", folder, LEDGER_FILE,
                 (long long)rows);
    return EXIT_SUCCESS;
}

static bool exists(const char *folder, const char *name, char ret[STATE_PATH_MAX])
{
    int count = snprintf(ret, STATE_PATH_MAX, "%s/%s", folder, name);
    return count > 0 && count < STATE_PATH_MAX && access(ret, F_OK) == 0;
}

static int find_key(const struct report_command *command, char path[STATE_PATH_MAX],
                    struct error *err)
{
    char beside[STATE_PATH_MAX];
    const char *slash = strrchr(command->verify, '/');
    int count = slash == NULL ? snprintf(beside, sizeof beside, ".")
                              : snprintf(beside, sizeof beside, "%.*s",
                                         (int)(slash - command->verify + 1), command->verify);
    if (command->key != NULL) {
        count = snprintf(path, STATE_PATH_MAX, "%s", command->key);
        return count < STATE_PATH_MAX ? 0 : error_set(err, ERROR_INVALID, "--key: too long");
    }
    if (exists(command->folder, SIGN_PUBLIC_FILE, path) ||
        (count < STATE_PATH_MAX && exists(beside, SIGN_PUBLIC_FILE, path)))
        return 0;
    return error_set(err, ERROR_NOT_FOUND,
                     "no " SIGN_PUBLIC_FILE " in the state folder or beside the report: name it by "
                     "--key");
}

static int check_signature(const struct report_command *command, const char *document, size_t count,
                           struct error *err)
{
    char key_path[STATE_PATH_MAX], path[STATE_PATH_MAX];
    struct sign_key *key = NULL;
    char *signature = NULL;
    size_t signature_count = 0;
    if (snprintf(path, sizeof path, "%s.sig", command->verify) >= (int)sizeof path)
        return error_set(err, ERROR_INVALID, "the path is too long");
    int result = schema_read_file(path, SIGN_TEXT_BYTES_MAX, &signature, &signature_count, err);
    if (result == 0)
        result = find_key(command, key_path, err);
    if (result == 0)
        result = sign_key_read_public(key_path, &key, err);
    if (result == 0 && sign_check(key, document, count, signature, err) != 0)
        result = error_wrap(err, "%s", path);
    if (result == 0)
        (void)printf("%s: signed by %s (%s), and as it was signed; the key is whose you know the "
                     "fingerprint to be\n",
                     command->verify, sign_key_fingerprint(key), key_path);
    sign_key_free(key);
    free(signature);
    return result;
}

static int check_stamp(const struct report_command *command, const char *document, size_t count,
                       struct error *err)
{
    char path[STATE_PATH_MAX];
    int64_t sequence = 0;
    if (command->state == NULL && command->config == NULL &&
        !exists(command->folder, LEDGER_FILE, path)) {
        (void)printf("%s: not compared with a ledger, for there is none in %s; --state names its "
                     "folder\n",
                     command->verify, command->folder);
        return 0;
    }
    struct ledger *ledger = report_open_ledger(command->folder, err);
    int result =
        ledger == NULL ? err->code : report_stamp_check(document, count, ledger, &sequence, err);
    ledger_close(ledger);
    if (result == 0)
        (void)printf("%s: made at row %lld of the ledger in %s, which verifies\n", command->verify,
                     (long long)sequence, command->folder);
    return result;
}

int report_verify(const struct report_command *command)
{
    struct error err = {0};
    struct stat status;
    char *document = NULL;
    size_t count = 0;
    if (stat(command->verify, &status) == 0 && S_ISDIR(status.st_mode))
        return verify_ledger(command->verify);
    int result = schema_read_file(command->verify, REPORT_FILE_BYTES_MAX, &document, &count, &err);
    if (result == 0)
        result = check_signature(command, document, count, &err);
    if (result == 0)
        result = check_stamp(command, document, count, &err);
    free(document);
    return result == 0 ? EXIT_SUCCESS : fail(&err);
}
