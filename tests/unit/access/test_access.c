#include "nx_test.h"

#include <string.h>

#include "access/access.h"
#include "base/arena.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"

struct fixture {
	struct nx_cat *cat;
	struct nx_arena *arena;
	struct nx_err err;
	struct nx_principal who;
	char token[48];
	char header[64];
};

static void apply(struct fixture *fx, const struct nx_op *op)
{
	assert_ok(nx_cat_apply(fx->cat, nx_cat_watermark(fx->cat) + 1, op, 1, &fx->err), &fx->err);
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct nx_cat_opts opts = {.path = ""};

	assert_non_null(fx);
	assert_ok(nx_crypto_init(&fx->err), &fx->err);
	assert_ok(nx_cat_open(&opts, &fx->cat, &fx->err), &fx->err);
	fx->arena = nx_arena_new(1u << 20, 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	nx_cat_free(fx->cat);
	nx_arena_free(fx->arena);
	free(fx);
	return 0;
}

static void add_token(struct fixture *fx, const char *role, int64_t expires, int64_t revoked)
{
	uint8_t hash[32];
	struct nx_principal_row row = {.name = "ann",
		.role = role,
		.token_hash = nx_slice(hash, 32),
		.expires_us = expires,
		.revoked_us = revoked};
	struct nx_op op;

	nx_access_token_new(fx->token, hash);
	(void)snprintf(fx->header, sizeof(fx->header), "Bearer %s", fx->token);
	assert_rc(nx_op_put_principal(&row, fx->arena, &op), NX_OK);
	apply(fx, &op);
}

static void test_a_token_names_its_principal(void **state)
{
	struct fixture *fx = *state;

	add_token(fx, "reader", 0, 0);
	assert_int_equal(strlen(fx->token), 43);
	assert_int_equal(
		strspn(fx->token,
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		43);
	assert_ok(nx_access_bearer(fx->cat, fx->header, "192.0.2.1", &fx->who, &fx->err), &fx->err);
	assert_int_equal(fx->who.kind, NX_PRINCIPAL_TOKEN);
	assert_string_equal(fx->who.name, "ann");
	assert_string_equal(fx->who.role, "reader");
	assert_string_equal(fx->who.peer, "192.0.2.1");
	assert_string_equal(fx->who.collection, "");
	assert_int_equal(strlen(fx->who.session), 32);
	memcpy(fx->header, "bEARER ", 7);
	assert_rc(nx_access_bearer(fx->cat, fx->header, NULL, &fx->who, NULL), NX_OK);
}

static void refused(struct fixture *fx, const char *header)
{
	struct nx_principal untouched = fx->who;

	assert_rc(nx_access_bearer(fx->cat, header, "", &fx->who, &fx->err), NX_E_UNAUTHENTICATED);
	assert_memory_equal(&fx->who, &untouched, sizeof(untouched));
	assert_string_equal(fx->err.text, "no valid token"); /* the same for every reason */
}

static void test_malformed_and_unknown_tokens(void **state)
{
	struct fixture *fx = *state;
	char header[80];

	add_token(fx, "reader", 0, 0);
	refused(fx, NULL);
	refused(fx, "");
	refused(fx, "Basic YTpi");
	refused(fx, "Bearer");
	refused(fx, "Bearer ");
	(void)snprintf(header, sizeof(header), "%s=", fx->header);
	refused(fx, header);
	(void)snprintf(header, sizeof(header), "%.*s", 49, fx->header);
	refused(fx, header);
	(void)snprintf(header, sizeof(header), "%s", fx->header);
	header[20] = header[20] == 'A' ? 'B' : 'A';
	refused(fx, header);
}

static void test_expired_revoked_and_roleless_tokens(void **state)
{
	struct fixture *fx = *state;

	add_token(fx, "reader", nx_now_us() - 1, 0);
	refused(fx, fx->header);
	add_token(fx, "reader", 0, 1);
	refused(fx, fx->header);
	add_token(fx, "wizard", 0, 0);
	refused(fx, fx->header);
	add_token(fx, "reader", nx_now_us() + 60000000, 0);
	assert_rc(nx_access_bearer(fx->cat, fx->header, "", &fx->who, NULL), NX_OK);
}

/* Who came in with a token may go on until it ends, and not until he leaves. */
static void test_a_token_that_ends_counts_no_longer(void **state)
{
	static const struct {
		int64_t expires, revoked;
	} ends[] = {{1, 0}, {0, 1}};
	struct fixture *fx = *state;
	const struct nx_principal system = {.kind = NX_PRINCIPAL_SYSTEM};

	for (size_t i = 0; i < NX_ARRAY_LEN(ends); i++) {
		struct nx_principal_row row = {.name = "ann",
			.role = "reader",
			.expires_us = ends[i].expires,
			.revoked_us = ends[i].revoked};
		struct nx_op op;

		add_token(fx, "reader", 0, 0);
		assert_rc(nx_access_bearer(fx->cat, fx->header, "", &fx->who, NULL), NX_OK);
		assert_rc(nx_access_still(fx->cat, &fx->who, NULL), NX_OK);
		row.token_hash = nx_slice(fx->who.token, sizeof(fx->who.token));
		assert_rc(nx_op_put_principal(&row, fx->arena, &op), NX_OK);
		apply(fx, &op);
		assert_rc(nx_access_still(fx->cat, &fx->who, NULL), NX_E_UNAUTHENTICATED);
	}
	assert_rc(nx_access_still(fx->cat, &system, NULL), NX_OK);
}

static void add_ae(struct fixture *fx, const char *ae, const char *called, const char *address)
{
	struct nx_ae_row row = {
		.ae = ae, .called = called, .address = address, .collection = "landing"};
	struct nx_op op;

	assert_rc(nx_op_put_ae(&row, fx->arena, &op), NX_OK);
	apply(fx, &op);
}

static void test_ae_titles_are_an_allow_list(void **state)
{
	struct fixture *fx = *state;

	add_ae(fx, "CT01", "NARTHEX", "192.0.2.7");
	add_ae(fx, "MR01", "NARTHEX", "");
	assert_ok(nx_access_ae(fx->cat, "CT01", "NARTHEX", "192.0.2.7", &fx->who, &fx->err),
		&fx->err);
	assert_int_equal(fx->who.kind, NX_PRINCIPAL_AE);
	assert_string_equal(fx->who.name, "AE:CT01");
	assert_string_equal(fx->who.role, "modality");
	assert_string_equal(fx->who.collection, "landing");
	assert_rc(
		nx_access_ae(fx->cat, "CT01", "NARTHEX", "192.0.2.8", &fx->who, NULL), NX_E_DENIED);
	assert_rc(nx_access_ae(fx->cat, "CT01", "NARTHEX", NULL, &fx->who, NULL), NX_E_DENIED);
	assert_rc(nx_access_ae(fx->cat, "CT01", "OTHER", "192.0.2.7", &fx->who, NULL), NX_E_DENIED);
	assert_rc(
		nx_access_ae(fx->cat, "ct01", "NARTHEX", "192.0.2.7", &fx->who, NULL), NX_E_DENIED);
	assert_rc(nx_access_ae(fx->cat, "MR01", "NARTHEX", "198.51.100.1", &fx->who, NULL), NX_OK);
}

/* Every role and permission: V verify, S store, Q query, R read, D delete, d de-identify, L
 * release, l lease, E erase, a audit, A admin, M monitor, q quarantine, w worklist, e edit, r
 * reject; '-' denied. */
static const char perm_letters[] = "?PVSQRDdLlEaAMqwer";
static const struct {
	const char *role;
	const char *may;
} table[] = {
	{"admin", "PVSQRDdLlEaAMqwer"},
	{"modality", "PVSw"},
	{"quality", "PVSQRwr"},
	{"workstation", "PVSQRw"},
	{"reader", "PVQR"},
	{"technologist", "PVSQRw"},
	{"steward", "PVQRDdLlqer"},
	{"auditor", "PaM"},
	{"monitor", "PM"},
	{"trainer", "Pl"},
	{"", "P"},
	{"Admin", "P"},
};

static void test_every_role_and_permission(void **state)
{
	(void)state;
	assert_int_equal(sizeof(perm_letters) - 1, NX_PERM_COUNT_);
	for (size_t r = 0; r < NX_ARRAY_LEN(table); r++) {
		struct nx_principal who = {.kind = NX_PRINCIPAL_TOKEN, .collection = "c"};

		(void)snprintf(who.role, sizeof(who.role), "%s", table[r].role);
		for (int p = 0; p < NX_PERM_COUNT_; p++) {
			struct nx_decision decision;
			bool want = strchr(table[r].may, perm_letters[p]) != NULL;

			nx_access_decide(&who, (enum nx_perm)p, "c", &decision);
			if (decision.permit != want)
				fail_msg("%s %c", table[r].role, perm_letters[p]);
			assert_non_null(decision.rule);
			assert_rc(nx_access_check(&who, (enum nx_perm)p, "c", NULL),
				want ? NX_OK : NX_E_DENIED);
		}
	}
}

static void test_a_bound_principal_stays_in_its_collection(void **state)
{
	struct nx_principal who = {.kind = NX_PRINCIPAL_AE, .role = "modality", .collection = "ct"};
	struct nx_principal free_one = {.kind = NX_PRINCIPAL_TOKEN, .role = "reader"};

	(void)state;
	assert_rc(nx_access_check(&who, NX_PERM_STORE, "ct", NULL), NX_OK);
	assert_rc(nx_access_check(&who, NX_PERM_STORE, "mr", NULL), NX_E_DENIED);
	assert_rc(nx_access_check(&who, NX_PERM_STORE, NULL, NULL), NX_E_DENIED);
	assert_rc(nx_access_check(&who, NX_PERM_VERIFY, NULL, NULL), NX_OK);
	who.collection[0] = 0; /* a modality is bound or nothing */
	assert_rc(nx_access_check(&who, NX_PERM_STORE, "ct", NULL), NX_E_DENIED);
	assert_rc(nx_access_check(&free_one, NX_PERM_READ, "any", NULL), NX_OK);
	assert_rc(nx_access_check(&free_one, NX_PERM_READ, NULL, NULL), NX_OK);
}

static void test_a_user_at_a_peer_may_what_both_may(void **state)
{
	const struct nx_principal ae = {
		.kind = NX_PRINCIPAL_AE, .role = "workstation", .collection = "ct"};
	struct nx_principal user = {.kind = NX_PRINCIPAL_TOKEN, .role = "reader"};
	struct nx_principal boss = {.kind = NX_PRINCIPAL_TOKEN, .role = "admin"};

	(void)state;
	nx_access_at(&user, &ae);
	nx_access_at(&boss, &ae);
	assert_rc(nx_access_check(&user, NX_PERM_READ, "ct", NULL), NX_OK);
	assert_rc(nx_access_check(&user, NX_PERM_STORE, "ct", NULL), NX_E_DENIED); /* the AE may */
	assert_rc(nx_access_check(&boss, NX_PERM_STORE, "ct", NULL), NX_OK);
	assert_rc(
		nx_access_check(&boss, NX_PERM_DELETE, "ct", NULL), NX_E_DENIED); /* the user may */
	assert_rc(nx_access_check(&boss, NX_PERM_STORE, "mr", NULL), NX_E_DENIED);
}

static void test_the_system_may_and_numbers_out_of_range_may_not(void **state)
{
	struct nx_principal who = {.kind = NX_PRINCIPAL_SYSTEM};

	(void)state;
	assert_rc(nx_access_check(&who, NX_PERM_ERASE, NULL, NULL), NX_OK);
	assert_rc(nx_access_check(&who, NX_PERM_NONE_, NULL, NULL), NX_E_DENIED);
	assert_rc(nx_access_check(&who, NX_PERM_COUNT_, NULL, NULL), NX_E_DENIED);
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		FX(test_a_token_names_its_principal),
		FX(test_malformed_and_unknown_tokens),
		FX(test_expired_revoked_and_roleless_tokens),
		FX(test_a_token_that_ends_counts_no_longer),
		FX(test_ae_titles_are_an_allow_list),
		cmocka_unit_test(test_every_role_and_permission),
		cmocka_unit_test(test_a_bound_principal_stays_in_its_collection),
		cmocka_unit_test(test_a_user_at_a_peer_may_what_both_may),
		cmocka_unit_test(test_the_system_may_and_numbers_out_of_range_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
