#include "site_fixture.h"

#include "lifecycle/erase.h"

static void certificate_init(struct nx_buf *buf)
{
	nx_buf_init(buf, 1u << 20, 0);
}

static void test_erase_by_patient_id_gives_a_certificate_that_verifies(void **state)
{
	struct fixture *fx = *state;
	struct nx_erasure_spec spec = {.collection = "clinical",
		.patient_id = "P-1^",
		.reason = "request of the patient",
		.site = "test"};
	struct nx_erasure_result result;
	struct nx_put gone, kept;
	NX_AUTO_DONE(nx_buf) certificate;
	struct nx_item item;
	char subject[32];
	char *text, *at;
	uint64_t found;

	certificate_init(&certificate);
	assert_ok(fx_put(fx, "P-1^", "1.2", "1.2.1", 900, 70000, 1, &gone), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 70000, 5, &kept), &fx->err);
	fx_item(fx, gone.ret_subject, "1.2.1", &item);
	assert_ok(nx_lifecycle_erase(
			  fx->archive, &site_admin, &spec, &result, &certificate, &fx->err),
		&fx->err);
	assert_u64(result.subject, gone.ret_subject);
	assert_u64(result.items, 1);
	assert_u64(result.key_places, 2);
	/* it names the subject by its internal number, never by what the patient is called (which
	 * no base64 can spell by chance) */
	text = strdup(nx_buf_cstr(&certificate));
	assert_non_null(text);
	(void)snprintf(
		subject, sizeof(subject), "\"%016llx\"", (unsigned long long)gone.ret_subject);
	assert_non_null(strstr(text, subject));
	assert_null(strstr(text, "P-1^"));
	assert_ok(nx_lifecycle_certificate_check(fx->archive, text, &fx->err), &fx->err);
	at = strstr(text, "\"items\":1");
	assert_non_null(at);
	at[8] = '2';
	assert_rc(nx_lifecycle_certificate_check(fx->archive, text, &fx->err), NX_E_CORRUPT);
	assert_rc(nx_lifecycle_certificate_check(fx->archive, "{}", &fx->err), NX_E_CORRUPT);
	free(text);
	/* and it is true */
	assert_rc(nx_cat_subject_find(fx->cat, fx->collection.domain, "", "P-1^", &found, &fx->err),
		NX_E_NOENT);
	assert_rc(nx_cat_item_by_id(fx->cat, item.id, fx->arena, &item, &fx->err), NX_E_NOENT);
	fx_item(fx, kept.ret_subject, "1.3.1", &item);
	fx_expect(fx, &item, 900, 70000, 5);
}

static void test_ledger_entry_says_why_and_what(void **state)
{
	struct fixture *fx = *state;
	struct nx_erasure_spec spec = {.reason = "study withdrawn", .site = "test"};
	struct nx_ledger *ledger = nx_archive_ledger(fx->archive);
	struct nx_erasure_result result;
	struct nx_put put;
	NX_AUTO_DONE(nx_buf) certificate;
	struct nx_entry entry;
	struct nx_slice body;
	char *text;

	certificate_init(&certificate);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &put), &fx->err);
	spec.subject = put.ret_subject;
	assert_ok(nx_lifecycle_erase(
			  fx->archive, &site_admin, &spec, &result, &certificate, &fx->err),
		&fx->err);
	assert_ok(nx_ledger_entry(ledger, result.entry, fx->arena, &entry, &fx->err), &fx->err);
	assert_int_equal(entry.action, NX_ACTION_ERASE);
	assert_ok(nx_ledger_body(ledger, &entry, fx->arena, &body, &fx->err), &fx->err);
	text = nx_arena_str(fx->arena, (const char *)body.p, body.n);
	assert_non_null(strstr(text, "\"principal\":\"admin\""));
	assert_non_null(
		strstr(text, "{\"items\":1,\"key_places\":2,\"reason\":\"study withdrawn\"}"));
}

static void test_erasing_twice_finds_nothing_left(void **state)
{
	struct fixture *fx = *state;
	struct nx_erasure_spec spec = {.reason = "again", .site = "test"};
	struct nx_erasure_result result;
	NX_AUTO_DONE(nx_buf) certificate;
	struct nx_put put;
	uint64_t first;

	certificate_init(&certificate);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &put), &fx->err);
	spec.subject = put.ret_subject;
	assert_ok(nx_lifecycle_erase(
			  fx->archive, &site_admin, &spec, &result, &certificate, &fx->err),
		&fx->err);
	first = result.entry;
	nx_buf_clear(&certificate);
	assert_ok(nx_lifecycle_erase(
			  fx->archive, &site_admin, &spec, &result, &certificate, &fx->err),
		&fx->err);
	assert_u64(result.items, 0);
	assert_true(result.entry > first);
}

static void test_who_may_not_erase_is_refused_and_recorded(void **state)
{
	struct fixture *fx = *state;
	struct nx_erasure_spec spec = {
		.collection = "clinical", .patient_id = "P1", .reason = "mischief", .site = "test"};
	struct nx_erasure_result result;
	NX_AUTO_DONE(nx_buf) certificate;
	struct nx_put put;
	struct nx_item item;

	certificate_init(&certificate);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &put), &fx->err);
	assert_rc(nx_lifecycle_erase(
			  fx->archive, &site_modality, &spec, &result, &certificate, &fx->err),
		NX_E_DENIED);
	assert_int_equal(site_entries(fx, NX_ACTION_ACCESS_DENY), 1);
	assert_int_equal(site_entries(fx, NX_ACTION_ERASE), 0);
	fx_item(fx, put.ret_subject, "1.2.1", &item);
	fx_expect(fx, &item, 900, 0, 1);
}

static void test_bad_requests_erase_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_erasure_spec nobody = {.collection = "clinical",
		.patient_id = "P9",
		.reason = "typing error",
		.site = "test"};
	struct nx_erasure_spec silent = {.subject = 7, .reason = "", .site = "test"};
	struct nx_erasure_spec empty = {.reason = "whom?", .site = "test"};
	struct nx_erasure_spec stranger = {.subject = 7, .reason = "no such", .site = "test"};
	struct nx_erasure_result result;
	NX_AUTO_DONE(nx_buf) certificate;

	certificate_init(&certificate);
	assert_rc(nx_lifecycle_erase(
			  fx->archive, &site_admin, &nobody, &result, &certificate, &fx->err),
		NX_E_NOENT);
	assert_rc(nx_lifecycle_erase(
			  fx->archive, &site_admin, &silent, &result, &certificate, &fx->err),
		NX_E_INVAL);
	assert_rc(nx_lifecycle_erase(
			  fx->archive, &site_admin, &empty, &result, &certificate, &fx->err),
		NX_E_INVAL);
	assert_rc(nx_lifecycle_erase(
			  fx->archive, &site_admin, &stranger, &result, &certificate, &fx->err),
		NX_E_NOENT);
	assert_int_equal(site_entries(fx, NX_ACTION_ERASE), 0);
	assert_u64(certificate.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_erase_by_patient_id_gives_a_certificate_that_verifies, fx_setup,
			fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_ledger_entry_says_why_and_what, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_erasing_twice_finds_nothing_left, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_who_may_not_erase_is_refused_and_recorded, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(
			test_bad_requests_erase_nothing, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
