/* SPDX-License-Identifier: Apache-2.0 */
/* A body of any bytes, as a feed of users: it is taken whole, within the limits that policy/
 * asserts and with nothing that it could mistake, or refused with a fault that says why. */
#include "daemon/api/admin_users_body.h"

#include "policy/users/calendar.h"
#include "policy/users/identity.h"
#include "policy/users/sketch.h"

#include <assert.h>
#include <string.h>

#define TODAY 20782u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_taken(const struct policy_feed_request *request)
{
    static const uint8_t key[SIPHASH_KEY_BYTES] = {1};
    uint64_t hash = 0;
    assert(request->product[0] != '\0' || request->model[0] != '\0');
    assert(strlen(request->product) <= POLICY_FEED_PRODUCT_MAX);
    assert(request->class == IDENTITY_VERIFIED || request->class == IDENTITY_ASSERTED);
    assert(request->day <= CALENDAR_DAY_MAX);
    assert(request->count <= POLICY_FEED_USERS_MAX);
    assert((request->form == POLICY_FEED_SKETCH) == (request->count == 0));
    assert(request->sketch_bytes <= ADMIN_USERS_SKETCH_MAX + 3);
    for (uint32_t i = 0; request->form == POLICY_FEED_HASHES && i < request->count; i++)
        assert(request->hashes[i] != 0);
    for (uint32_t i = 0; request->form == POLICY_FEED_USERS && i < request->count; i++) {
        const struct identity_user user = {
            .tenant = request->tenant, .issuer = request->issuer, .id = request->users[i]};
        assert(!identity_user_hash(&user, key, &hash) || hash != 0);
    }
}

/* Whoever sends a sketch sends any bytes. */
static void read_sketch(const struct policy_feed_request *request)
{
    struct sketch *sketch = NULL;
    struct error err;
    if (sketch_read(request->sketch, request->sketch_bytes, &sketch, &err) != 0)
        return;
    if (sketch_p(sketch) > SKETCH_P)
        (void)sketch_downsize(sketch, SKETCH_P, &err);
    struct sketch_count users;
    sketch_count(sketch, &users);
    assert(users.value >= 0);
    sketch_free(sketch);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct admin_users users;
    struct fault fault = {0};
    if (admin_users_parse((const char *)bytes, count, TODAY, &users, &fault) < 0) {
        assert(fault.status == 400 || fault.status == 413);
        assert(fault.message[0] != '\0');
        assert(users.body == NULL);
        return 0;
    }
    check_taken(&users.request);
    if (users.request.form == POLICY_FEED_SKETCH)
        read_sketch(&users.request);
    admin_users_destroy(&users);
    return 0;
}
