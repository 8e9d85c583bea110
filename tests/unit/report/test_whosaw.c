#include "../archive/archive_fixture.h"

#include "access/access.h"
#include "report/whosaw.h"

static const struct nx_principal auditor = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "auditor", .role = "auditor"};
static const struct nx_principal reader = {
	.kind = NX_PRINCIPAL_TOKEN, .name = "reader", .role = "reader"};

static void seen(struct fixture *fx, const char *who, uint64_t subject, const char *study)
{
	struct nx_entry_draft draft = {
		.action = NX_ACTION_READ, .principal = who, .subject = subject, .study = study};

	assert_ok(nx_archive_record(fx->archive, &draft, &fx->err), &fx->err);
}

static unsigned times(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static const char *ask(struct fixture *fx, const struct nx_whosaw *query, struct nx_buf *out)
{
	nx_buf_clear(out);
	assert_ok(nx_report_who_saw(fx->archive, &auditor, query, out, &fx->err), &fx->err);
	return nx_buf_cstr(out);
}

static void test_all_who_saw_a_patient_and_nobody_else(void **state)
{
	struct fixture *fx = *state;
	struct nx_whosaw query = {.collection = "clinical", .patient_id = "P1"};
	struct nx_put one, other;
	NX_AUTO_DONE(nx_buf) out;
	const char *text;

	nx_buf_init(&out, 1u << 20, 0);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &one), &fx->err);
	assert_ok(fx_put(fx, "P2", "1.3", "1.3.1", 900, 0, 2, &other), &fx->err);
	seen(fx, "dr-a", one.ret_subject, "1.2");
	seen(fx, "dr-b", other.ret_subject, "1.3");
	text = ask(fx, &query, &out);
	assert_non_null(strstr(text, "\"principal\":\"dr-a\""));
	assert_null(strstr(text, "dr-b"));
	/* stored, read, and the question itself */
	assert_non_null(strstr(text, "\"total\":3"));
	assert_int_equal(times(text, "\"action\":\"ledger.read\""), 1);
	assert_null(strstr(text, "\"proof\""));
	query.proof = true;
	text = ask(fx, &query, &out);
	assert_non_null(strstr(text, "\"proof\":{\"format\":\"narthex-proof/1\""));
	assert_int_equal(times(text, "\"action\":\"ledger.read\""), 2);
}

static void test_accounting_outlives_erasure(void **state)
{
	struct fixture *fx = *state;
	struct nx_whosaw by_id = {.collection = "clinical", .patient_id = "P1"};
	struct nx_whosaw by_subject = {.proof = true};
	struct nx_entry_draft draft = {.action = NX_ACTION_ERASE, .principal = "admin"};
	NX_AUTO_DONE(nx_buf) out;
	struct nx_put put;
	uint64_t items;
	const char *text;

	nx_buf_init(&out, 1u << 20, 0);
	assert_ok(fx_put(fx, "P1", "1.2", "1.2.1", 900, 0, 1, &put), &fx->err);
	seen(fx, "dr-a", put.ret_subject, "1.2");
	draft.subject = by_subject.subject = put.ret_subject;
	assert_ok(
		nx_archive_erase(fx->archive, put.ret_subject, &draft, &items, &fx->err), &fx->err);
	assert_rc(nx_report_who_saw(fx->archive, &auditor, &by_id, &out, &fx->err), NX_E_NOENT);
	text = ask(fx, &by_subject, &out);
	assert_non_null(strstr(text, "\"principal\":\"dr-a\""));
	assert_int_equal(times(text, "\"action\":\"erase\""), 1);
}

static void test_by_study_by_principal_and_by_time(void **state)
{
	struct fixture *fx = *state;
	struct nx_whosaw by_study = {.study = "1.3"};
	struct nx_whosaw by_principal = {.principal = "dr-b"};
	struct nx_whosaw future = {.principal = "dr-b", .from_us = INT64_MAX};
	struct nx_whosaw nobody = {.principal = "dr-c"};
	NX_AUTO_DONE(nx_buf) out;
	const char *text;

	nx_buf_init(&out, 1u << 20, 0);
	seen(fx, "dr-a", 0, "1.3");
	seen(fx, "dr-b", 0, "1.3");
	seen(fx, "dr-b", 0, "1.4");
	text = ask(fx, &by_study, &out);
	assert_int_equal(times(text, "\"action\":\"read\""), 2);
	text = ask(fx, &by_principal, &out);
	assert_int_equal(times(text, "\"action\":\"read\""), 2);
	assert_null(strstr(text, "dr-a"));
	text = ask(fx, &future, &out);
	assert_string_equal(text, "{\"entries\":[],\"total\":2}");
	text = ask(fx, &nobody, &out);
	assert_string_equal(text, "{\"entries\":[],\"total\":0}");
}

static void test_needs_permission_and_one_question(void **state)
{
	struct fixture *fx = *state;
	struct nx_whosaw none = {.proof = true};
	struct nx_whosaw two = {.study = "1.2", .principal = "dr-a"};
	struct nx_whosaw nowhere = {.patient_id = "P1"};
	struct nx_whosaw by_study = {.study = "1.2"};
	uint64_t before = nx_ledger_size(nx_archive_ledger(fx->archive));
	NX_AUTO_DONE(nx_buf) out;

	nx_buf_init(&out, 1u << 20, 0);
	assert_rc(nx_report_who_saw(fx->archive, &auditor, &none, &out, &fx->err), NX_E_INVAL);
	assert_rc(nx_report_who_saw(fx->archive, &auditor, &two, &out, &fx->err), NX_E_INVAL);
	assert_rc(nx_report_who_saw(fx->archive, &auditor, &nowhere, &out, &fx->err), NX_E_INVAL);
	assert_u64(nx_ledger_size(nx_archive_ledger(fx->archive)), before);
	assert_rc(nx_report_who_saw(fx->archive, &reader, &by_study, &out, &fx->err), NX_E_DENIED);
	assert_u64(nx_ledger_size(nx_archive_ledger(fx->archive)), before + 1);
	assert_u64(out.len, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_all_who_saw_a_patient_and_nobody_else),
		T(test_accounting_outlives_erasure),
		T(test_by_study_by_principal_and_by_time),
		T(test_needs_permission_and_one_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
