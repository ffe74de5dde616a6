/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are another's, cut short, flipped, or left by a power cut. */
#include "tests/unit/policy/counter_fixture.h"

#include "policy/users/counter_file.h"

/* -- Files that are not right -- */

static void another_counters_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct counter *counter = NULL;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 10);
    close_file(fixture);
    for (uint32_t i = 0; i < 4; i++) {
        struct counter_name other = name;
        other.id += i == 0;
        other.key_id += i == 1;
        other.day += i == 2;
        other.class += i == 3;
        assert_int_equal(counter_open(fixture->path, &other, &counter, &fixture->err),
                         ERROR_INVALID);
        assert_non_null(strstr(fixture->err.text, i == 1 ? "another key" : "something else"));
    }
    fixture->counter = open_file(fixture);
    assert_holds_users(fixture->counter, 10);
}

static void what_is_no_counter_is_refused(void **state)
{
    struct fixture *fixture = *state;
    scratch_write(fixture->folder, "day", "hello", 5);
    assert_refused(fixture, ERROR_INVALID, "cut short");
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_refused(fixture, ERROR_INVALID, "not a plain file");
    assert_int_equal(unlink(fixture->path), 0);
    fixture->counter = open_file(fixture);
    write_at(fixture, 0, "WCNT2", 5);
    assert_refused(fixture, ERROR_INVALID, "not a counter");
}

static void a_truncated_file_is_refused(void **state)
{
    static const uint32_t keep[] = {1,
                                    55,
                                    4095,
                                    4096,
                                    4104,
                                    COUNTER_REGISTERS_AT,
                                    COUNTER_REGISTERS_AT + 1,
                                    COUNTER_FILE_BYTES - 1,
                                    COUNTER_FILE_BYTES + 1};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof keep / sizeof keep[0]; i++) {
        fixture->counter = open_file(fixture);
        add_users(fixture->counter, 0, 10);
        close_file(fixture);
        assert_int_equal(truncate(fixture->path, keep[i]), 0);
        assert_refused(fixture, ERROR_INVALID, "cut short");
        assert_int_equal(unlink(fixture->path), 0);
    }
}

static void a_file_whose_making_was_cut_short_is_made_again(void **state)
{
    static const uint8_t nothing[COUNTER_LIST_AT];
    struct fixture *fixture = *state;
    scratch_write(fixture->folder, "day", "", 0);
    fixture->counter = open_file(fixture);
    close_file(fixture);
    write_at(fixture, 0, nothing, sizeof nothing);
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 10);
    assert_holds_users(fixture->counter, 10);
    write_at(fixture, 0, nothing, sizeof nothing); /* but this one was in use */
    assert_refused(fixture, ERROR_INVALID, "the header is gone");
}

/* In use (a killed process's): what is not refused has all users. */
static void a_flipped_bit_of_a_header_in_use_loses_nobody(void **state)
{
    struct fixture *fixture = *state;
    uint32_t refused = 0;
    for (uint32_t users = 300; users <= MANY; users *= 300) {
        fixture->counter = open_file(fixture);
        add_users(fixture->counter, 0, users);
        struct counter_header header;
        read_at(fixture, 0, &header, sizeof header);
        for (uint32_t bit = 0; bit < sizeof header * 8; bit++) {
            struct counter *counter = NULL;
            flip(fixture, bit / 8, bit % 8);
            if (try_open(fixture, &counter) == 0)
                assert_has_users(counter, users);
            else
                refused++;
            counter_close(counter);
            write_at(fixture, 0, &header, sizeof header);
        }
        close_file(fixture);
        assert_int_equal(unlink(fixture->path), 0);
    }
    /* All but those of the seal, of the count's low bits and of the flag for the hash 0. */
    assert_true(refused >= 2 * (sizeof(struct counter_header) * 8 - 8 - 32 - 15 - 1));
}

static void a_flipped_bit_of_a_closed_file_is_seen(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t exact_at[] = {36, 40, 48, 4096, 4103, 4096 + 8 * 299, 4096 + 8 * 400};
    static const uint32_t dense_at[] = {
        36, 40, 48, COUNTER_REGISTERS_AT, COUNTER_REGISTERS_AT + 70000, COUNTER_FILE_BYTES - 1};
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 300);
    close_file(fixture);
    for (size_t i = 0; i < sizeof exact_at / sizeof exact_at[0]; i++) {
        flip(fixture, exact_at[i], 0);
        assert_refused(fixture, ERROR_INVALID, "damaged");
        flip(fixture, exact_at[i], 0);
    }
    fixture->counter = open_file(fixture);
    assert_holds_users(fixture->counter, 300);
    add_users(fixture->counter, 0, MANY);
    close_file(fixture);
    for (size_t i = 0; i < sizeof dense_at / sizeof dense_at[0]; i++) {
        flip(fixture, dense_at[i], 0);
        assert_refused(fixture, ERROR_INVALID, "damaged");
        flip(fixture, dense_at[i], 0);
    }
    fixture->counter = open_file(fixture);
    assert_holds_users(fixture->counter, MANY);
}

static void the_seal_is_off_the_disk_before_anything_changes(void **state)
{
    struct fixture *fixture = *state;
    struct journal_record record;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 10);
    assert_int_equal(disk.first_page_syncs, 0); /* a new file has none */
    for (uint32_t stop = 100; stop <= MANY; stop *= 1000) {
        reopen(fixture);
        disk.first_page_syncs = 0;
        assert_int_equal(counter_add(fixture->counter, user(1), &record, NULL), 0);
        assert_int_equal(disk.first_page_syncs, 0);
        disk.sync_fails = true;
        assert_int_equal(counter_add(fixture->counter, user(stop * 2), &record, NULL), ERROR_IO);
        assert_int_equal(counter_changes(fixture->counter), 0);
        disk.sync_fails = false;
        add_users(fixture->counter, 0, stop);
        assert_int_equal(disk.first_page_syncs, 1);
        assert_holds_users(fixture->counter, stop);
    }
}

static void torn_hashes_are_no_users_and_their_slots_are_used_again(void **state)
{
    static const uint64_t nothing[20];
    struct fixture *fixture = *state;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 1000);
    write_at(fixture, 4096 + 8 * 100, nothing, sizeof nothing);
    struct counter *after_cut = open_file(fixture);
    assert_false(counter_has(after_cut, user(100)));
    assert_true(counter_has(after_cut, user(99)) && counter_has(after_cut, user(120)));
    add_users(after_cut, 0, 1000); /* the journal */
    assert_holds_users(after_cut, 1000);
    add_users(after_cut, 0, SKETCH_EXACT_MAX);
    assert_holds_users(after_cut, SKETCH_EXACT_MAX);
    counter_close(after_cut);
}

static void hashes_behind_the_count_count(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t count = 10;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 2000);
    write_at(fixture, 40, &count, sizeof count);
    struct counter *after_cut = open_file(fixture);
    assert_holds_users(after_cut, 2000);
    add_users(after_cut, 2000, 1);
    assert_holds_users(after_cut, 2001);
    counter_close(after_cut);
}

static void a_list_or_registers_that_cannot_be_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t twice = user(5);
    const uint8_t impossible = 1;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 100);
    write_at(fixture, 4096 + 8 * 50, &twice, sizeof twice);
    assert_refused(fixture, ERROR_INVALID, "slot 50 of the list is damaged");
    write_at(fixture, 4096 + 8 * 50, &(uint64_t){user(50)}, 8);
    write_at(fixture, COUNTER_REGISTERS_AT + 7, &impossible, 1);
    assert_refused(fixture, ERROR_INVALID, "a register that no hash leaves");
    write_at(fixture, COUNTER_REGISTERS_AT + 7, &(uint8_t){0}, 1);
    add_users(fixture->counter, 0, MANY);
    write_at(fixture, COUNTER_REGISTERS_AT + 7, &impossible, 1);
    assert_refused(fixture, ERROR_INVALID, "a register that no hash leaves");
    write_at(fixture, COUNTER_REGISTERS_AT + 7, &(uint8_t){0}, 1); /* a lost page, at worst */
    counter_close(open_file(fixture));
}

/* -- A power cut: each page on the disk is as it was at the last sync, or any later -- */

struct powered {
    struct fixture *fixture;
    uint8_t *meanwhile; /* what the kernel wrote of its own accord, at some time since the sync */
    struct journal_record *journal;
    uint32_t journal_count;
    uint64_t users, random;
    bool synced;
};

static uint64_t draw(struct powered *powered, uint64_t limit)
{
    return user(powered->random++) % limit;
}

static void live(struct powered *powered)
{
    struct fixture *fixture = powered->fixture;
    switch (draw(powered, 8)) {
    case 0: /* the policy thread's round: sync, forget */
        assert_int_equal(counter_sync(fixture->counter, NULL), 0);
        break;
    case 1:
        reopen(fixture);
        break;
    case 2:
        read_at(fixture, 0, powered->meanwhile, COUNTER_FILE_BYTES);
        return;
    default:
        for (uint64_t more = draw(powered, 9000); more > 0; more--) {
            int result = counter_add(fixture->counter, user(powered->users++),
                                     &powered->journal[powered->journal_count], NULL);
            assert_true(result >= 0);
            powered->journal_count += (uint32_t)result;
        }
        return;
    }
    memcpy(powered->meanwhile, disk.image, COUNTER_FILE_BYTES);
    powered->journal_count = 0;
    powered->synced = true;
}

static void cut_power(struct powered *powered)
{
    struct fixture *fixture = powered->fixture;
    uint8_t *pages = malloc(COUNTER_FILE_BYTES), *image = disk.image;
    assert_non_null(pages);
    read_at(fixture, 0, pages, COUNTER_FILE_BYTES);
    for (uint32_t at = 0; at < COUNTER_FILE_BYTES; at += 4096) {
        uint64_t which = draw(powered, 3);
        if (which != 2)
            memcpy(pages + at, (which == 0 ? image : powered->meanwhile) + at, 4096);
    }
    disk.image = NULL; /* closing syncs, which has not happened */
    close_file(fixture);
    disk.image = image;
    scratch_write(fixture->folder, "day", pages, COUNTER_FILE_BYTES);
    free(pages);
}

static void recover(struct powered *powered)
{
    struct fixture *fixture = powered->fixture;
    int result = try_open(fixture, &fixture->counter);
    if (result == ERROR_INVALID && !powered->synced) {
        /* Moved aside, the journal has everybody. */
        assert_int_equal(unlink(fixture->path), 0);
        result = try_open(fixture, &fixture->counter);
    }
    if (result != 0)
        print_error("%s\n", fixture->err.text);
    assert_int_equal(result, 0);
    for (uint32_t i = 0; i < powered->journal_count; i++)
        assert_true(counter_apply(fixture->counter, &powered->journal[i], NULL) >= 0);
    assert_has_users(fixture->counter, powered->users);
}

static void any_mixture_of_pages_and_the_journal_lose_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct powered powered = {.fixture = fixture};
    disk.image = malloc(COUNTER_FILE_BYTES);
    powered.meanwhile = malloc(COUNTER_FILE_BYTES);
    powered.journal = calloc(1 << 20, sizeof *powered.journal);
    assert_true(disk.image != NULL && powered.meanwhile != NULL && powered.journal != NULL);
    for (uint32_t run = 0; run < (SANITIZED ? 10 : 100); run++) {
        memset(disk.image, 0, COUNTER_FILE_BYTES);
        memset(powered.meanwhile, 0, COUNTER_FILE_BYTES);
        powered.journal_count = 0;
        powered.users = 0;
        powered.synced = false;
        fixture->counter = open_file(fixture);
        for (uint64_t steps = draw(&powered, 20); steps > 0; steps--)
            live(&powered);
        cut_power(&powered);
        recover(&powered);
        close_file(fixture);
        assert_int_equal(unlink(fixture->path), 0);
    }
    free(powered.journal);
    free(powered.meanwhile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNTER_TEST(another_counters_file_is_refused),
        COUNTER_TEST(what_is_no_counter_is_refused),
        COUNTER_TEST(a_truncated_file_is_refused),
        COUNTER_TEST(a_file_whose_making_was_cut_short_is_made_again),
        COUNTER_TEST(a_flipped_bit_of_a_header_in_use_loses_nobody),
        COUNTER_TEST(a_flipped_bit_of_a_closed_file_is_seen),
        COUNTER_TEST(the_seal_is_off_the_disk_before_anything_changes),
        COUNTER_TEST(torn_hashes_are_no_users_and_their_slots_are_used_again),
        COUNTER_TEST(hashes_behind_the_count_count),
        COUNTER_TEST(a_list_or_registers_that_cannot_be_are_refused),
        COUNTER_TEST(any_mixture_of_pages_and_the_journal_lose_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
