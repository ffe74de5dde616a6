/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 under load: whoever was acknowledged is in what is recovered.
 *
 * A child counts random users by two threads into two counters, with a journal, and says through a
 * pipe whom it has acknowledged: those whose records were durable. It is killed at some moment, and
 * the files are opened anew. WEIR_CRASHES is how often; the usual few keep the tests quick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/users/counter.h"
#include "policy/users/counter_file.h"
#include "policy/users/journal.h"
#include "tests/unit/policy/scratch.h"

#define CRASHES_USUAL   40u
#define CRASHES_A_LIFE  6u /* on the same files */
#define COUNTERS        2u
#define ADDERS          2u
#define BATCH_MAX       4096u
#define LIFE_US_MAX     40000u
#define TURN_US_MAX     3000u
#define ACKNOWLEDGE_MAX 256u /* acknowledgements that a pipe takes whole */
#define KEY             4711u

enum lost {
    LOST_NOTHING,  /* the journal is forgotten after syncs, as in service */
    LOST_COUNTERS, /* the power: the journal, as far as it was synced, has to restore them */
    LOST_JOURNAL,  /* the mapped files alone */
    LOST_KINDS
};

struct acknowledged {
    uint64_t counter, hash;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t crashes(void)
{
    const char *text = getenv("WEIR_CRASHES");
    return text == NULL ? CRASHES_USUAL : (uint32_t)strtoul(text, NULL, 10);
}

/* -- What a power cut leaves of a journal: this fdatasync() wins over the C library's -- */

#define SYNCED_MAX 512u

struct synced {
    ino_t inode;
    off_t bytes;
};
/* Shared by parent and child. */
struct disk {
    _Atomic uint32_t count;
    struct synced files[SYNCED_MAX]; /* the last one of an inode is right */
};
static struct disk *disk;

int fdatasync(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || syscall(SYS_fdatasync, fd) != 0)
        return -1;
    uint32_t count = atomic_load(&disk->count);
    if (count > 0 && disk->files[count - 1].inode == status.st_ino)
        count--;
    if (count < SYNCED_MAX)
        disk->files[count] = (struct synced){status.st_ino, status.st_size};
    atomic_store(&disk->count, count + 1);
    return 0;
}

/* Somewhere between what was synced and what was written. */
static void tear(const char *path, uint64_t *random)
{
    struct stat status;
    off_t bytes = 0;
    assert_true(stat(path, &status) == 0 && disk->count <= SYNCED_MAX);
    for (uint32_t i = 0; i < disk->count; i++)
        if (disk->files[i].inode == status.st_ino)
            bytes = disk->files[i].bytes;
    assert_true(bytes <= status.st_size);
    if (next_random(random) % 2 == 0)
        bytes += (off_t)(next_random(random) % (uint64_t)(status.st_size - bytes + 1));
    assert_int_equal(truncate(path, bytes), 0);
}

/* -- A daemon's counting part -- */

struct house {
    struct counter *counters[COUNTERS];
    struct journal *journal;
};

static void counter_path(const char *folder, uint64_t index, char ret[SCRATCH_PATH_BYTES])
{
    (void)snprintf(ret, SCRATCH_PATH_BYTES, "%.200s/counter-%llu", folder,
                   (unsigned long long)index);
}

static int on_record(void *argument, const struct journal_record *record, struct error *err)
{
    struct house *house = argument;
    if (record->counter >= COUNTERS)
        return error_set(err, ERROR_INVALID, "no such counter");
    return counter_apply(house->counters[record->counter], record, err);
}

static int house_open(struct house *house, const char *folder, struct error *err)
{
    struct journal_recovery recovery;
    const struct journal_config config = {.folder = folder, .key_id = KEY, .bytes_rotate = 1 << 18};
    *house = (struct house){0};
    for (uint64_t i = 0; i < COUNTERS; i++) {
        char path[SCRATCH_PATH_BYTES];
        const struct counter_name name = {.id = i, .key_id = KEY, .day = 20781, .class = 1};
        counter_path(folder, i, path);
        int result = counter_open(path, &name, &house->counters[i], err);
        if (result != 0)
            return result;
    }
    return journal_open(&config, on_record, house, &house->journal, &recovery, err);
}

static void house_close(struct house *house)
{
    journal_close(house->journal);
    for (uint32_t i = 0; i < COUNTERS; i++)
        counter_close(house->counters[i]);
}

/* -- The child: no assertion of the tests' here, an exit says that something was wrong -- */

struct adder {
    struct house *house;
    uint64_t random;
    int pipe;
};

static void require(bool condition)
{
    if (!condition)
        _exit(9);
}

static void acknowledge(int pipe, const struct acknowledged *batch, uint32_t count)
{
    for (uint32_t at = 0; at < count; at += ACKNOWLEDGE_MAX) {
        uint32_t some = count - at < ACKNOWLEDGE_MAX ? count - at : ACKNOWLEDGE_MAX;
        size_t bytes = some * sizeof batch[0];
        require(write(pipe, batch + at, bytes) == (ssize_t)bytes);
    }
}

static void *add_users(void *argument)
{
    struct adder *adder = argument;
    struct journal *journal = adder->house->journal;
    struct acknowledged batch[BATCH_MAX];
    for (;;) {
        uint32_t count = 1 + (uint32_t)(next_random(&adder->random) % BATCH_MAX);
        for (uint32_t i = 0; i < count; i++) {
            struct journal_record record;
            uint64_t counter = next_random(&adder->random) % 16 == 0; /* one has few */
            batch[i] = (struct acknowledged){counter, next_random(&adder->random)};
            int result = counter_add(adder->house->counters[counter], batch[i].hash, &record, NULL);
            require(result >= 0);
            if (result == 1)
                (void)journal_append(journal, &record);
        }
        /* Also for those who changed nothing: somebody else's record may have them. */
        uint64_t sequence = journal_appended(journal);
        while (journal_durable(journal) < sequence)
            (void)sched_yield();
        acknowledge(adder->pipe, batch, count);
    }
    return NULL;
}

_Noreturn static void serve(const char *folder, uint64_t seed, bool forgets, int pipe)
{
    struct house house;
    struct adder adders[ADDERS];
    require(house_open(&house, folder, NULL) == 0);
    for (uint32_t i = 0; i < ADDERS; i++) {
        pthread_t thread;
        adders[i] = (struct adder){.house = &house, .random = seed + i, .pipe = pipe};
        (void)next_random(&adders[i].random);
        adders[i].random ^= (uint64_t)i << 60;
        require(pthread_create(&thread, NULL, add_users, &adders[i]) == 0);
    }
    for (uint32_t round = 1;; round++) {
        require(journal_commit(house.journal, NULL) == 0);
        if (!forgets || round % 4 != 0)
            continue;
        uint64_t sequence = journal_appended(house.journal);
        for (uint32_t i = 0; i < COUNTERS; i++)
            require(counter_sync(house.counters[i], NULL) == 0);
        require(journal_forget(house.journal, sequence, NULL) == 0);
    }
}

/* -- The parent -- */

struct life {
    char folder[SCRATCH_PATH_BYTES];
    struct house left[CRASHES_A_LIFE]; /* open until its end, so that no closing tidies up */
    uint32_t left_count;
    struct acknowledged *all;
    size_t count, capacity;
};

/* What is in the pipe, up to the deadline, or to its end. */
static void hear(struct life *life, int pipe, uint64_t until_us)
{
    for (;;) {
        struct pollfd poller = {.fd = pipe, .events = POLLIN};
        uint64_t now_us = clock_monotonic_us();
        if (now_us >= until_us)
            return;
        if (until_us != UINT64_MAX && poll(&poller, 1, (int)((until_us - now_us) / 1000)) <= 0)
            continue;
        if (life->capacity - life->count < ACKNOWLEDGE_MAX) {
            life->capacity = 2 * life->capacity + ACKNOWLEDGE_MAX;
            life->all = realloc(life->all, life->capacity * sizeof life->all[0]);
            assert_non_null(life->all);
        }
        ssize_t got = read(pipe, life->all + life->count, ACKNOWLEDGE_MAX * sizeof life->all[0]);
        assert_true(got >= 0);
        assert_int_equal(got % (ssize_t)sizeof life->all[0], 0);
        life->count += (size_t)got / sizeof life->all[0];
        if (got == 0)
            return;
    }
}

static void assert_killed(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* and did not give up before */
}

static void crash(struct life *life, enum lost lost, uint64_t *random)
{
    int pipes[2];
    uint64_t seed = next_random(random);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        serve(life->folder, seed, lost == LOST_NOTHING, pipes[1]);
    }
    close(pipes[1]);
    hear(life, pipes[0], clock_monotonic_us() + next_random(random) % LIFE_US_MAX);
    assert_killed(child);
    hear(life, pipes[0], UINT64_MAX);
    close(pipes[0]);
}

static void lose_journal(const struct life *life, bool whole, uint64_t *random)
{
    DIR *folder = opendir(life->folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[2 * SCRATCH_PATH_BYTES];
        if (strncmp(entry->d_name, "journal-", 8) != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", life->folder, entry->d_name);
        if (whole)
            assert_int_equal(unlink(path), 0);
        else
            tear(path, random);
    }
    closedir(folder);
}

static void lose(const struct life *life, enum lost lost, uint64_t *random)
{
    char path[SCRATCH_PATH_BYTES];
    if (lost == LOST_NOTHING)
        return;
    lose_journal(life, lost == LOST_JOURNAL, random);
    for (uint32_t i = 0; lost == LOST_COUNTERS && i < COUNTERS; i++) {
        counter_path(life->folder, i, path);
        (void)unlink(path);
    }
}

/* Returns how many of the counters have turned. */
static uint32_t assert_recovered(struct life *life)
{
    struct house house;
    struct error err = {0};
    uint32_t turned = 0;
    if (house_open(&house, life->folder, &err) != 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < life->count; i++)
        assert_true(counter_has(house.counters[life->all[i].counter], life->all[i].hash));
    for (uint32_t i = 0; i < COUNTERS; i++) {
        struct sketch *sketch = NULL;
        assert_int_equal(counter_sketch(house.counters[i], &sketch, NULL), 0);
        turned += !sketch_is_exact(sketch);
        sketch_free(sketch);
    }
    journal_close(house.journal);
    house.journal = NULL;
    if (life->count % 2 == 0)
        house_close(&house);
    else
        life->left[life->left_count++] = house;
    return turned;
}

static void whoever_was_acknowledged_is_recovered(void **state)
{
    uint64_t random = clock_monotonic_us(), acknowledged = 0;
    uint32_t left = crashes(), exact = 0, turned = 0;
    (void)state;
    for (uint32_t kind = 0; left > 0; kind = (kind + 1) % LOST_KINDS) {
        struct life life = {0};
        scratch_make(life.folder);
        disk->count = 0;
        for (uint32_t i = 0; i < CRASHES_A_LIFE && left > 0; i++, left--) {
            crash(&life, (enum lost)kind, &random);
            lose(&life, (enum lost)kind, &random);
            uint32_t turned_now = assert_recovered(&life);
            turned += turned_now;
            exact += COUNTERS - turned_now;
        }
        acknowledged += life.count;
        for (uint32_t i = 0; i < life.left_count; i++)
            house_close(&life.left[i]);
        scratch_remove(life.folder);
        free(life.all);
    }
    print_message("%u crashes, %llu users acknowledged, recovered counters: %u exact, %u not\n",
                  crashes(), (unsigned long long)acknowledged, exact, turned);
}

/* -- The turn -- */

static void fill_to_the_brim(const char *path, const struct counter_name *name)
{
    struct counter *counter = NULL;
    struct journal_record record;
    uint64_t random = 1;
    assert_int_equal(counter_open(path, name, &counter, NULL), 0);
    for (uint32_t i = 0; i < SKETCH_EXACT_MAX; i++)
        assert_int_equal(counter_add(counter, next_random(&random), &record, NULL), 1);
    counter_close(counter);
}

_Noreturn static void take_the_turn(const char *path, const struct counter_name *name, int pipe)
{
    struct counter *counter = NULL;
    struct journal_record record;
    require(counter_open(path, name, &counter, NULL) == 0);
    require(counter_add(counter, 12345, &record, NULL) >= 0 && write(pipe, "!", 1) == 1);
    for (;;)
        (void)sched_yield();
}

/* Returns whether the killed one had turned; *ret_told: it said so. */
static bool kill_at_the_turn(const char *path, const struct counter_name *name, uint64_t after_us,
                             bool *ret_told)
{
    int pipes[2];
    char told;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        take_the_turn(path, name, pipes[1]);
    close(pipes[1]);
    for (uint64_t until_us = clock_monotonic_us() + after_us; clock_monotonic_us() < until_us;)
        (void)sched_yield();
    assert_killed(child);
    *ret_told = read(pipes[0], &told, 1) == 1;
    close(pipes[0]);

    struct counter *counter = NULL;
    struct sketch *sketch = NULL;
    uint64_t random = 1;
    assert_int_equal(counter_open(path, name, &counter, NULL), 0);
    for (uint32_t i = 0; i < SKETCH_EXACT_MAX; i++)
        assert_true(counter_has(counter, next_random(&random)));
    assert_true(!*ret_told || counter_has(counter, 12345));
    assert_int_equal(counter_sketch(counter, &sketch, NULL), 0);
    bool turned = !sketch_is_exact(sketch);
    struct sketch_count count;
    sketch_count(sketch, &count);
    assert_true(turned || count.value == SKETCH_EXACT_MAX);
    sketch_free(sketch);
    counter_close(counter);
    return turned;
}

static void a_kill_within_the_turn_loses_nobody(void **state)
{
    static const struct counter_name name = {.id = 1, .key_id = KEY, .day = 20781, .class = 1};
    static uint8_t brim[COUNTER_FILE_BYTES];
    char folder[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES];
    uint64_t random = clock_monotonic_us();
    uint32_t turned = 0, told_count = 0;
    (void)state;
    scratch_make(folder);
    counter_path(folder, 1, path);
    fill_to_the_brim(path, &name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(brim, 1, sizeof brim, file), sizeof brim);
    assert_int_equal(fclose(file), 0);
    brim[offsetof(struct counter_header, sealed)] = 0;
    for (uint32_t i = 0; i < crashes(); i++) {
        bool told;
        scratch_write(folder, "counter-1", brim, sizeof brim);
        turned += kill_at_the_turn(path, &name, next_random(&random) % TURN_US_MAX, &told);
        told_count += told;
    }
    print_message("%u kills near the turn: %u had turned, %u had said so\n", crashes(), turned,
                  told_count);
    scratch_remove(folder);
}

static int map_disk(void **state)
{
    (void)state;
    disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return disk == MAP_FAILED ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_was_acknowledged_is_recovered),
        cmocka_unit_test(a_kill_within_the_turn_loses_nobody),
    };
    return cmocka_run_group_tests(tests, map_disk, NULL);
}
