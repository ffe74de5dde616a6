/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c -- rows that are only ever added, each sealed to the one before.
 *
 *     sequence 1          2          3                  head
 *     hash     H(0..0,1)  H(h1, 2)   H(h2, 3)    <---   {sequence 3, hash h3}
 *
 * H is SHA-256 over the format's name, the hash before as it is written (64 hexadecimal digits),
 * then every field of the row. A field goes in after its length in eight bytes, most significant
 * first, so that no two rows give the same bytes; numbers go in as eight bytes. The head says
 * which row is the last: without it a ledger could be cut short unseen.
 *
 * What the chain shows is an edit by whoever did not mean to forge, or did not recompute all that
 * follows. Against the forger who does, a hash that was written down elsewhere is the remedy: that
 * is what a signed report is for. A key in the state folder would not be, for who can write the
 * ledger can read the key.
 *
 * One row is one transaction in a rollback journal, synchronous=EXTRA: on disk, the journal's end
 * included, before ledger_append() returns. A write-ahead log would be faster and would leave two
 * more files to keep together; a verdict a month does not ask for it. */
#include "policy/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT          1
#define FORMAT_NAME     "weir-ledger-1"
#define APPLICATION_ID  0x77656972 /* "weir" */
#define PATH_BYTES_MAX  4096
#define BUSY_TIMEOUT_MS 2000 /* a report may read at the same time */
#define VALUE_BYTES_MAX (4 * LEDGER_BODY_BYTES_MAX)
#define ZERO_HASH       "0000000000000000000000000000000000000000000000000000000000000000"

static_assert(sizeof ZERO_HASH == LEDGER_HASH_BYTES, "the hash before the first row");

struct ledger {
    sqlite3 *db;
    char path[PATH_BYTES_MAX];
};

struct head {
    int64_t sequence;
    char hash[LEDGER_HASH_BYTES];
};

/* As SQLite keeps them, to the letter: a file whose schema reads otherwise is not ours. */
#define LEDGER_TABLE                                                                               \
    "CREATE TABLE ledger(sequence INTEGER PRIMARY KEY, at_unix INTEGER NOT NULL, "                 \
    "kind TEXT NOT NULL, model TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, "         \
    "hash TEXT NOT NULL) STRICT"
#define NEWEST_INDEX "CREATE INDEX ledger_newest ON ledger(kind, model, subject)"
#define HEAD_TABLE                                                                                 \
    "CREATE TABLE head(id INTEGER PRIMARY KEY CHECK(id = 1), sequence INTEGER NOT NULL, "          \
    "hash TEXT NOT NULL) STRICT"
static const char *const schema[] = {LEDGER_TABLE, NEWEST_INDEX, HEAD_TABLE};
#define SCHEMA_COUNT ((int)(sizeof schema / sizeof schema[0]))

/* -- Errors -- */

static int fail_damaged(const struct ledger *ledger, const char *what, struct error *err)
{
    return error_set(err, ERROR_INVALID,
                     "%s: damaged: %s; restore the file, or move it away and keep it: a new ledger "
                     "begins then",
                     ledger->path, what);
}

/* What SQLite says of its last failure. */
static int fail(const struct ledger *ledger, struct error *err)
{
    int saved_errno = sqlite3_system_errno(ledger->db);
    switch (sqlite3_errcode(ledger->db)) {
    case SQLITE_NOMEM:
        return error_no_memory(err);
    case SQLITE_NOTADB:
        return error_set(err, ERROR_INVALID, "%s: not a ledger of weir; move it away",
                         ledger->path);
    case SQLITE_CORRUPT:
    case SQLITE_SCHEMA:
        return fail_damaged(ledger, sqlite3_errmsg(ledger->db), err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERROR_BUSY, "%s: another process holds it; try again", ledger->path);
    case SQLITE_FULL:
        return error_set(err, ERROR_IO, "%s: the disk is full; make room", ledger->path);
    default:
        return error_set(err, ERROR_IO, "%s: %s%s%s", ledger->path, sqlite3_errmsg(ledger->db),
                         saved_errno != 0 ? ": " : "",
                         saved_errno != 0 ? strerror(saved_errno) : "");
    }
}

/* -- Statements -- */

static int run(const struct ledger *ledger, const char *sql, struct error *err)
{
    return sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(ledger, err);
}

static int prepare(const struct ledger *ledger, const char *sql, sqlite3_stmt **ret,
                   struct error *err)
{
    return sqlite3_prepare_v2(ledger->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail(ledger, err);
}

/* Places are counted from 1. The string must live until the statement is done. */
static bool bind_text(sqlite3_stmt *statement, int place, const char *string)
{
    return sqlite3_bind_text(statement, place, string, -1, SQLITE_STATIC) == SQLITE_OK;
}

/* The one number that a statement answers. */
static int read_number(const struct ledger *ledger, const char *sql, int64_t *ret,
                       struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger, sql, &statement, err);
    if (result != 0)
        return result;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    else
        result = fail(ledger, err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* -- The chain -- */

static bool digest_number(EVP_MD_CTX *digest, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> (56 - 8 * i));
    return EVP_DigestUpdate(digest, bytes, sizeof bytes) == 1;
}

static bool digest_field(EVP_MD_CTX *digest, const void *bytes, size_t count)
{
    return digest_number(digest, count) && EVP_DigestUpdate(digest, bytes, count) == 1;
}

/* A row's texts as they are in the file: counted, for a forged one may hold a NUL. */
enum { FIELD_KIND, FIELD_MODEL, FIELD_SUBJECT, FIELD_BODY, FIELD_COUNT };
struct sealed {
    int64_t sequence, at_unix;
    struct {
        const char *bytes;
        size_t count;
    } fields[FIELD_COUNT];
};

/* False when there is no memory. */
static bool seal(const struct sealed *row, const char *before, char ret[LEDGER_HASH_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int hash_count = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool sound = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                 digest_field(digest, FORMAT_NAME, strlen(FORMAT_NAME)) &&
                 digest_field(digest, before, strlen(before)) &&
                 digest_number(digest, (uint64_t)row->sequence) &&
                 digest_number(digest, (uint64_t)row->at_unix);
    for (int i = 0; sound && i < FIELD_COUNT; i++)
        sound = digest_field(digest, row->fields[i].bytes, row->fields[i].count);
    sound = sound && EVP_DigestFinal_ex(digest, hash, &hash_count) == 1;
    EVP_MD_CTX_free(digest);
    for (unsigned int i = 0; sound && i < hash_count && 2 * i + 2 < LEDGER_HASH_BYTES; i++)
        (void)snprintf(ret + (size_t)2 * i, 3, "%02x", hash[i]);
    return sound;
}

static struct sealed sealed_of(const struct ledger_entry *entry, int64_t sequence)
{
    const char *texts[FIELD_COUNT] = {entry->kind, entry->model, entry->subject, entry->body};
    struct sealed row = {.sequence = sequence, .at_unix = entry->at_unix};
    for (int i = 0; i < FIELD_COUNT; i++) {
        row.fields[i].bytes = texts[i];
        row.fields[i].count = strlen(texts[i]);
    }
    return row;
}

static int read_head(const struct ledger *ledger, struct head *ret, struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger, "SELECT sequence, hash FROM head", &statement, err);
    if (result != 0)
        return result;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        ret->sequence = sqlite3_column_int64(statement, 0);
        const unsigned char *hash = sqlite3_column_text(statement, 1);
        (void)snprintf(ret->hash, sizeof ret->hash, "%s", hash == NULL ? "" : (const char *)hash);
    } else {
        result = step == SQLITE_DONE
                     ? fail_damaged(ledger, "it does not say which row is the last", err)
                     : fail(ledger, err);
    }
    (void)sqlite3_finalize(statement);
    return result;
}

/* The head, and that the last row is the one it names: nothing is added to a broken end. */
static int read_end(const struct ledger *ledger, struct head *ret, struct error *err)
{
    sqlite3_stmt *statement;
    int result = read_head(ledger, ret, err);
    if (result == 0)
        result = prepare(ledger, "SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1",
                         &statement, err);
    if (result != 0)
        return result;
    int step = sqlite3_step(statement);
    bool fits = step == SQLITE_DONE && ret->sequence == 0;
    if (step == SQLITE_ROW) {
        const unsigned char *hash = sqlite3_column_text(statement, 1);
        fits = sqlite3_column_int64(statement, 0) == ret->sequence && hash != NULL &&
               strcmp((const char *)hash, ret->hash) == 0;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        result = fail(ledger, err);
    else if (!fits)
        result = fail_damaged(ledger, "its last row is not the one that was written last", err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* -- Opening -- */

static int create(struct ledger *ledger, struct error *err)
{
    char head[256];
    (void)snprintf(head, sizeof head,
                   "PRAGMA application_id = %d; PRAGMA user_version = %d; "
                   "INSERT INTO head VALUES(1, 0, '%s')",
                   APPLICATION_ID, FORMAT, ZERO_HASH);
    int result = ledger_begin(ledger, err);
    for (int i = 0; result == 0 && i < SCHEMA_COUNT; i++)
        result = run(ledger, schema[i], err);
    if (result == 0)
        result = run(ledger, head, err);
    if (result == 0)
        return ledger_commit(ledger, err);
    ledger_rollback(ledger);
    return result;
}

/* Tables under our names may yet be views that never end: what is there must read as ours does. */
static int check_schema(const struct ledger *ledger, struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger, "SELECT sql FROM sqlite_schema", &statement, err);
    if (result != 0)
        return result;
    int step, found = 0;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW && found >= 0) {
        const unsigned char *sql = sqlite3_column_text(statement, 0);
        bool known = false;
        for (int i = 0; sql != NULL && i < SCHEMA_COUNT; i++)
            known = known || strcmp((const char *)sql, schema[i]) == 0;
        found = known ? found + 1 : -1;
    }
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        result = fail(ledger, err);
    else if (found != SCHEMA_COUNT)
        result = fail_damaged(ledger, "its tables are not as weir makes them", err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* SQLite's own look at pages and indices. */
static int check_pages(const struct ledger *ledger, struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger, "PRAGMA quick_check(1)", &statement, err);
    if (result != 0)
        return result;
    const unsigned char *found = NULL;
    if (sqlite3_step(statement) != SQLITE_ROW)
        result = fail(ledger, err);
    else if ((found = sqlite3_column_text(statement, 0)) == NULL)
        result = error_no_memory(err);
    else if (strcmp((const char *)found, "ok") != 0)
        result = fail_damaged(ledger, (const char *)found, err);
    (void)sqlite3_finalize(statement);
    return result;
}

static int check(struct ledger *ledger, struct error *err)
{
    int64_t pages = 0, application = 0, format = 0;
    int result = read_number(ledger, "PRAGMA page_count", &pages, err);
    if (result == 0 && pages == 0)
        return create(ledger, err);
    if (result == 0)
        result = read_number(ledger, "PRAGMA application_id", &application, err);
    if (result == 0)
        result = read_number(ledger, "PRAGMA user_version", &format, err);
    if (result != 0)
        return result;
    if (application != APPLICATION_ID)
        return error_set(err, ERROR_INVALID,
                         "%s: a database, but not a ledger of weir; move it away", ledger->path);
    if (format > FORMAT)
        return error_set(err, ERROR_INVALID,
                         "%s: of format %lld, and this weir knows up to %d; run the weir that "
                         "wrote it, or a newer one",
                         ledger->path, (long long)format, FORMAT);
    struct head head;
    result = format == FORMAT ? check_schema(ledger, err)
                              : fail_damaged(ledger, "its format has no number", err);
    if (result == 0)
        result = check_pages(ledger, err);
    return result == 0 ? read_end(ledger, &head, err) : result;
}

/* SQLite would make the file as the umask says, and open what is no file at all. */
static int make_file(const char *path, struct error *err)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    int result = 0;
    if (fstat(fd, &status) != 0)
        result = error_set_errno(err, errno, "%s", path);
    else if (!S_ISREG(status.st_mode))
        result = error_set(err, ERROR_INVALID, "%s: not a file; move it away", path);
    close(fd); /* before SQLite locks it: a close drops the locks of the whole process */
    return result;
}

static int open_database(struct ledger *ledger, struct error *err)
{
    int opened = sqlite3_open_v2(ledger->path, &ledger->db,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (ledger->db == NULL)
        return error_no_memory(err);
    if (opened != SQLITE_OK)
        return fail(ledger, err);
    (void)sqlite3_busy_timeout(ledger->db, BUSY_TIMEOUT_MS);
    (void)sqlite3_limit(ledger->db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    /* A file from elsewhere gets to run none of its own code and to write none of SQLite's. */
    (void)sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int result = run(ledger,
                     "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; "
                     "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA",
                     err);
    return result == 0 ? check(ledger, err) : result;
}

struct ledger *ledger_open(const char *folder, struct error *err)
{
    struct error local = {0};
    if (err == NULL)
        err = &local;
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    int count = snprintf(ledger->path, sizeof ledger->path, "%s/%s", folder, LEDGER_FILE);
    int result = count > 0 && (size_t)count < sizeof ledger->path
                     ? make_file(ledger->path, err)
                     : error_set(err, ERROR_INVALID, "%.200s: the path is too long", folder);
    if (result == 0)
        result = open_database(ledger, err);
    if (result == 0)
        return ledger;
    ledger_close(ledger);
    return NULL;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger == NULL)
        return;
    (void)sqlite3_close(ledger->db); /* every statement was finalised where it was made */
    free(ledger);
}

/* -- Writing -- */

int ledger_begin(struct ledger *ledger, struct error *err)
{
    assert(sqlite3_get_autocommit(ledger->db));
    return run(ledger, "BEGIN IMMEDIATE", err);
}

int ledger_commit(struct ledger *ledger, struct error *err)
{
    assert(!sqlite3_get_autocommit(ledger->db));
    int result = run(ledger, "COMMIT", err);
    if (result != 0)
        ledger_rollback(ledger);
    return result;
}

void ledger_rollback(struct ledger *ledger)
{
    if (!sqlite3_get_autocommit(ledger->db)) /* some failures have undone it already */
        (void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Whether the newest row of the entry's kind, model and subject says the same. */
static int find_same(const struct ledger *ledger, const struct ledger_entry *entry, bool *ret,
                     struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger,
                         "SELECT body FROM ledger WHERE kind = ?1 AND model = ?2 AND subject = ?3 "
                         "ORDER BY sequence DESC LIMIT 1",
                         &statement, err);
    if (result != 0)
        return result;
    int step = SQLITE_ERROR;
    if (bind_text(statement, 1, entry->kind) && bind_text(statement, 2, entry->model) &&
        bind_text(statement, 3, entry->subject))
        step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        const unsigned char *body = sqlite3_column_text(statement, 0);
        *ret = body != NULL && strcmp((const char *)body, entry->body) == 0;
    } else if (step == SQLITE_DONE) {
        *ret = false;
    } else {
        result = fail(ledger, err);
    }
    (void)sqlite3_finalize(statement);
    return result;
}

static int insert(const struct ledger *ledger, const struct sealed *row, const char *hash,
                  struct error *err)
{
    sqlite3_stmt *statement;
    int result =
        prepare(ledger, "INSERT INTO ledger VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", &statement, err);
    if (result != 0)
        return result;
    bool bound = sqlite3_bind_int64(statement, 1, row->sequence) == SQLITE_OK &&
                 sqlite3_bind_int64(statement, 2, row->at_unix) == SQLITE_OK &&
                 bind_text(statement, 7, hash);
    for (int i = 0; bound && i < FIELD_COUNT; i++)
        bound = bind_text(statement, 3 + i, row->fields[i].bytes);
    if (!bound || sqlite3_step(statement) != SQLITE_DONE)
        result = fail(ledger, err);
    (void)sqlite3_finalize(statement);
    return result;
}

static int move_head(const struct ledger *ledger, int64_t sequence, const char *hash,
                     struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger, "UPDATE head SET sequence = ?1, hash = ?2", &statement, err);
    if (result != 0)
        return result;
    if (sqlite3_bind_int64(statement, 1, sequence) != SQLITE_OK || !bind_text(statement, 2, hash) ||
        sqlite3_step(statement) != SQLITE_DONE)
        result = fail(ledger, err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* Inside a transaction. */
static int append(const struct ledger *ledger, const struct ledger_entry *entry, bool *ret_appended,
                  struct error *err)
{
    struct head end;
    bool same = false;
    int result = find_same(ledger, entry, &same, err);
    if (result != 0 || same) {
        *ret_appended = false;
        return result;
    }
    result = read_end(ledger, &end, err);
    if (result != 0)
        return result;
    char hash[LEDGER_HASH_BYTES];
    struct sealed row = sealed_of(entry, end.sequence + 1);
    if (!seal(&row, end.hash, hash))
        return error_no_memory(err);
    result = insert(ledger, &row, hash, err);
    if (result == 0)
        result = move_head(ledger, row.sequence, hash, err);
    *ret_appended = result == 0;
    return result;
}

int ledger_append(struct ledger *ledger, const struct ledger_entry *entry, bool *ret_appended,
                  struct error *err)
{
    bool appended = false;
    bool alone = sqlite3_get_autocommit(ledger->db) != 0;
    if (strlen(entry->body) > LEDGER_BODY_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "%s: a row of more than %u bytes", ledger->path,
                         LEDGER_BODY_BYTES_MAX);
    int result = alone ? ledger_begin(ledger, err) : 0;
    if (result != 0)
        return result;
    result = append(ledger, entry, &appended, err);
    if (alone && result == 0)
        result = ledger_commit(ledger, err);
    else if (alone)
        ledger_rollback(ledger);
    if (result == 0 && ret_appended != NULL)
        *ret_appended = appended;
    return result;
}

/* -- Reading -- */

#define ROW_COLUMNS "sequence, at_unix, kind, model, subject, body, hash"

static const char *column(sqlite3_stmt *statement, int index)
{
    return (const char *)sqlite3_column_text(statement, index);
}

int ledger_read(struct ledger *ledger, const char *kind,
                bool (*on_row)(void *argument, const struct ledger_row *row), void *argument,
                struct error *err)
{
    sqlite3_stmt *statement;
    int result = prepare(ledger,
                         "SELECT " ROW_COLUMNS
                         " FROM ledger WHERE ?1 IS NULL OR kind = ?1 ORDER BY sequence",
                         &statement, err);
    if (result != 0)
        return result;
    int step = SQLITE_ERROR;
    if (kind == NULL || bind_text(statement, 1, kind))
        step = sqlite3_step(statement);
    while (step == SQLITE_ROW) {
        const struct ledger_row row = {.sequence = sqlite3_column_int64(statement, 0),
                                       .at_unix = sqlite3_column_int64(statement, 1),
                                       .kind = column(statement, 2),
                                       .model = column(statement, 3),
                                       .subject = column(statement, 4),
                                       .body = column(statement, 5),
                                       .hash = column(statement, 6)};
        if (row.kind == NULL || row.model == NULL || row.subject == NULL || row.body == NULL ||
            row.hash == NULL) {
            (void)sqlite3_finalize(statement);
            return error_no_memory(err); /* no column takes NULL */
        }
        step = on_row(argument, &row) ? sqlite3_step(statement) : SQLITE_DONE;
    }
    if (step != SQLITE_DONE)
        result = fail(ledger, err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* Whether the row that the statement is at follows `before`, which becomes it. */
static int verify_row(const struct ledger *ledger, sqlite3_stmt *statement, struct head *before,
                      struct error *err)
{
    char hash[LEDGER_HASH_BYTES];
    struct sealed row = {.sequence = sqlite3_column_int64(statement, 0),
                         .at_unix = sqlite3_column_int64(statement, 1)};
    for (int i = 0; i < FIELD_COUNT; i++) {
        row.fields[i].bytes = column(statement, 2 + i);
        row.fields[i].count = (size_t)sqlite3_column_bytes(statement, 2 + i);
        if (row.fields[i].bytes == NULL)
            return error_no_memory(err);
    }
    const char *found = column(statement, 2 + FIELD_COUNT);
    if (found == NULL || !seal(&row, before->hash, hash))
        return error_no_memory(err);
    if (row.sequence != before->sequence + 1)
        return error_set(err, ERROR_INVALID,
                         "%s: row %lld is missing: row %lld follows row %lld; compare with a copy",
                         ledger->path, (long long)before->sequence + 1, (long long)row.sequence,
                         (long long)before->sequence);
    if (strcmp(hash, found) != 0)
        return error_set(err, ERROR_INVALID,
                         "%s: row %lld was changed or is not where it was written, or a row before "
                         "it was; compare with a copy",
                         ledger->path, (long long)row.sequence);
    before->sequence = row.sequence;
    memcpy(before->hash, hash, sizeof hash);
    return 0;
}

/* All rows from the first, and that the last of them is the head's. */
static int verify_rows(const struct ledger *ledger, struct head *end, struct error *err)
{
    sqlite3_stmt *statement;
    int result =
        prepare(ledger, "SELECT " ROW_COLUMNS " FROM ledger ORDER BY sequence", &statement, err);
    if (result != 0)
        return result;
    int step;
    while (result == 0 && (step = sqlite3_step(statement)) != SQLITE_DONE)
        result = step == SQLITE_ROW ? verify_row(ledger, statement, end, err) : fail(ledger, err);
    (void)sqlite3_finalize(statement);
    return result;
}

static int verify(const struct ledger *ledger, int64_t *ret_rows, struct error *err)
{
    struct head head, end = {.sequence = 0, .hash = ZERO_HASH};
    int result = read_head(ledger, &head, err);
    if (result == 0)
        result = verify_rows(ledger, &end, err);
    if (result != 0)
        return result;
    if (end.sequence < head.sequence)
        return error_set(err, ERROR_INVALID,
                         "%s: rows %lld to %lld are missing at the end; compare with a copy",
                         ledger->path, (long long)end.sequence + 1, (long long)head.sequence);
    if (end.sequence > head.sequence || strcmp(end.hash, head.hash) != 0)
        return error_set(err, ERROR_INVALID,
                         "%s: row %lld was put in behind the last that was written; compare with a "
                         "copy",
                         ledger->path, (long long)end.sequence);
    *ret_rows = end.sequence;
    return 0;
}

int ledger_verify(struct ledger *ledger, int64_t *ret_rows, struct error *err)
{
    bool alone = sqlite3_get_autocommit(ledger->db) != 0;
    int result = alone ? run(ledger, "BEGIN", err) : 0; /* a daemon may write at the same time */
    if (result != 0)
        return result;
    result = verify(ledger, ret_rows, err);
    if (alone)
        ledger_rollback(ledger);
    return result;
}
