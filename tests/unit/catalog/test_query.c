#include "cat_fixture.h"

#define PN    0x00100010
#define PID   0x00100020
#define DATE  0x00080020
#define TIME  0x00080030
#define MODS  0x00080061
#define SUID  0x0020000d
#define SEUID 0x0020000e
#define SOP   0x00080018
#define MOD   0x00080060
#define REF   0x00080090
#define INUM  0x00200013

static void put_study(struct fixture *fx, struct nx_study *s)
{
	s->n_series = 1;
	s->n_instances = 2;
	fx_put_study(fx, s);
}

/* Three studies: 1 Doe^Jane, 2 Müller^Jürgen with other groups, 3 in collection 2. */
static int setup(void **state)
{
	struct fixture *fx;
	struct nx_study s;
	struct nx_series se;
	struct nx_item it;

	fx_setup(state);
	fx = *state;
	s = fx_study(1, "1.1");
	put_study(fx, &s);
	s = fx_study(2, "1.2");
	s.patient_id = "p1[x]";
	s.patient_name =
		"M\xc3\xbcller^J\xc3\xbcrgen=\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e";
	s.name_key = nx_cat_name_key(s.patient_name, fx->arena);
	s.date = "20240301";
	s.time = "235959.5";
	s.modalities = "MR";
	put_study(fx, &s);
	s = fx_study(3, "1.3");
	s.collection = 2;
	s.date = "";
	s.patient_name = s.name_key = "";
	put_study(fx, &s);
	for (int i = 1; i <= 3; i++) {
		char uid[32];

		(void)snprintf(uid, sizeof(uid), "1.%d.1", i);
		se = fx_series(i, i, uid);
		se.n_instances = 2;
		se.modality = i == 2 ? "MR" : "CT";
		fx_put_series(fx, &se);
		for (int k = 1; k <= 3; k++) {
			(void)snprintf(uid, sizeof(uid), "1.%d.1.%d", i, k);
			it = fx_item(i * 10 + k, i, uid);
			it.collection = i == 3 ? 2 : 1;
			it.number = 4 - k;
			it.state = k == 3 ? NX_ITEM_OLD : NX_ITEM_LIVE;
			fx_put_item(fx, &it);
		}
	}
	return 0;
}

struct found {
	char text[256];
	nx_rc stop;
};

static nx_rc found_one(void *payload, const struct nx_match *match, struct nx_err *err)
{
	struct found *found = payload;
	size_t used = strlen(found->text);
	int64_t id = match->item ? match->item->id
		: match->series  ? match->series->id
				 : match->study->id;

	if (match->n_studies)
		(void)snprintf(found->text + used, sizeof(found->text) - used,
			"%lld/%lld/%lld/%lld ", (long long)id, (long long)match->n_studies,
			(long long)match->n_series, (long long)match->n_instances);
	else
		(void)snprintf(
			found->text + used, sizeof(found->text) - used, "%lld ", (long long)id);
	return found->stop ? nx_err_set(err, found->stop, "stop") : NX_OK;
}

static const int64_t both[] = {1, 2};

static void expect_n(struct fixture *fx, struct nx_query query, const char *want, bool want_more)
{
	struct found found = {0};
	bool more = false;

	if (!query.collections) {
		query.collections = both;
		query.n_collections = 2;
	}
	assert_ok(nx_cat_query(fx->cat, &query, found_one, &found, &more, &fx->err), &fx->err);
	assert_string_equal(found.text, want);
	assert_int_equal(more, want_more);
}

static void expect(struct fixture *fx, enum nx_query_level level, uint32_t tag, const char *value,
	const char *want)
{
	struct nx_query_key key = {tag, value};

	expect_n(fx, (struct nx_query){.level = level, .keys = &key, .n_keys = 1}, want, false);
}

static void expect_study(struct fixture *fx, uint32_t tag, const char *value, const char *want)
{
	expect(fx, NX_LEVEL_STUDY, tag, value, want);
}

static void test_single_values_count_case(void **state)
{
	struct fixture *fx = *state;

	expect_study(fx, PID, "P1", "3 1 ");
	expect_study(fx, PID, " P1 ", "3 1 ");
	expect_study(fx, PID, "p1", "");
	expect_study(fx, PID, "p1[x]", "2 ");
	expect_study(fx, PID, "'; DROP TABLE study; --", "");
	expect_study(fx, PID, "", "3 2 1 ");
	expect_study(fx, PID, "**", "3 2 1 ");
}

static void test_wildcards(void **state)
{
	struct fixture *fx = *state;

	expect_study(fx, PID, "P*", "3 1 ");
	expect_study(fx, PID, "?1", "3 1 ");
	expect_study(fx, PID, "?1*", "3 2 1 ");
	expect_study(fx, PID, "p1[*", "2 ");
	expect_study(fx, PID, "*[x]", "2 ");
	expect_study(fx, PID, "[pP]1*", ""); /* brackets are no wildcards */
}

static void test_person_names_without_case_and_accents(void **state)
{
	struct fixture *fx = *state;

	expect_study(fx, PN, "doe^jane", "1 ");
	expect_study(fx, PN, "DOE^JANE^^", "1 ");
	expect_study(fx, PN, "doe", "");
	expect_study(fx, PN, "do*", "1 ");
	expect_study(fx, PN, "muller^jurgen", "2 ");
	expect_study(fx, PN, "M\xc3\x9cLLER*", "2 ");
	expect_study(fx, PN, "mull?r^j*", "2 ");
	expect_study(fx, PN, "*=\xe5\xb1\xb1\xe7\x94\xb0*", "2 ");
	expect_study(fx, PN, "*^j*", "2 1 ");
	expect_study(fx, REF, "house^greg*", "3 2 1 ");
	expect_study(fx, REF, "HOUSE^GREGORY", "3 2 1 ");
}

static void test_fuzzy_names_any_order_prefix_of_each(void **state)
{
	static const struct {
		const char *value;
		const char *want;
	} cases[] = {{"jane doe", "1 "}, {"ja do", "1 "}, {"J\xc3\xbc", "2 "}, {"ane", ""},
		{"jane mull", ""}, {"^", "3 2 1 "}};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct nx_query_key key = {PN, cases[i].value};

		expect_n(fx,
			(struct nx_query){
				.level = NX_LEVEL_STUDY, .keys = &key, .n_keys = 1, .fuzzy = true},
			cases[i].want, false);
	}
}

static void test_date_and_time_ranges(void **state)
{
	struct fixture *fx = *state;

	expect_study(fx, DATE, "20240102", "1 ");
	expect_study(fx, DATE, "20240102-20240301", "2 1 ");
	expect_study(fx, DATE, "20240103-", "2 ");
	expect_study(fx, DATE, "-20240131", "1 "); /* not the study without a date */
	expect_study(fx, TIME, "1015", "3 1 ");
	expect_study(fx, TIME, "2300-2359", "2 ");
	expect_study(fx, TIME, "-1015", "3 1 ");
}

static void test_a_moment_is_a_date_and_a_time_together(void **state)
{
	static const struct {
		const char *date, *time, *want;
	} cases[] = {
		{"20240101-20240302", "2300-0100", "2 1 "}, /* 101500 on a day between */
		{"20240102-20240301", "1100-2359", "2 "},   /* begins after study 1 */
		{"20240102-20240301", "1000-2300", "1 "},   /* ends before study 2 */
		{"20240102-", "1100-", "2 "},
		{"-20240301", "-2300", "1 "},
		{"20240102", "1015", "1 "},
		{"20240102-20240301", "", "2 1 "},
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
		struct nx_query_key keys[] = {{DATE, cases[i].date}, {TIME, cases[i].time}};

		expect_n(fx,
			(struct nx_query){.level = NX_LEVEL_STUDY,
				.keys = keys,
				.n_keys = 2,
				.datetime = true},
			cases[i].want, false);
	}
}

static void test_patients_are_told_once_with_counts(void **state)
{
	struct fixture *fx = *state;
	struct nx_study s = fx_study(4, "1.4");

	s.subject = 1001; /* a second one of the patient of study 1 */
	put_study(fx, &s);
	expect(fx, NX_LEVEL_PATIENT, PID, "*", "4/2/2/4 3/1/1/2 2/1/1/2 ");
	expect(fx, NX_LEVEL_PATIENT, PN, "doe^jane", "4/2/2/4 ");
	assert_true(nx_cat_query_key_known(NX_LEVEL_PATIENT, PID));
	assert_false(nx_cat_query_key_known(NX_LEVEL_PATIENT, SUID));
}

static void test_malformed_values_are_refused_with_their_tag(void **state)
{
	static const struct nx_query_key bad[] = {{DATE, "2024"}, {DATE, "-"}, {DATE, "2024010a"},
		{TIME, "123"}, {TIME, "12345x"}, {DATE, "20240101-2024"}};
	struct fixture *fx = *state;
	struct found found = {0};
	bool more;

	for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
		struct nx_query query = {.level = NX_LEVEL_STUDY,
			.collections = both,
			.n_collections = 2,
			.keys = &bad[i],
			.n_keys = 1};

		assert_rc(nx_cat_query(fx->cat, &query, found_one, &found, &more, &fx->err),
			NX_E_INVAL);
		assert_non_null(strstr(fx->err.text, "(0008,00"));
	}
}

static void test_keys_below_the_level_are_refused(void **state)
{
	struct fixture *fx = *state;
	struct nx_query_key key = {SOP, "1"};
	struct nx_query query = {.level = NX_LEVEL_SERIES,
		.collections = both,
		.n_collections = 2,
		.keys = &key,
		.n_keys = 1};
	struct found found = {0};
	bool more;

	assert_rc(nx_cat_query(fx->cat, &query, found_one, &found, &more, &fx->err), NX_E_INVAL);
	assert_non_null(strstr(fx->err.text, "(0008,0018)"));
	assert_false(nx_cat_query_key_known(NX_LEVEL_SERIES, SOP));
	assert_true(nx_cat_query_key_known(NX_LEVEL_INSTANCE, SOP));
	assert_true(nx_cat_query_key_known(NX_LEVEL_INSTANCE, PID));
	assert_false(nx_cat_query_key_known(NX_LEVEL_INSTANCE, 0x00091001));
}

static void test_uid_lists_and_modalities(void **state)
{
	struct fixture *fx = *state;

	expect_study(fx, SUID, "1.2", "2 ");
	expect_study(fx, SUID, "1.1\\1.3\\9", "3 1 ");
	expect_study(fx, MODS, "SR", "3 1 ");
	expect_study(fx, MODS, "C", "");
	expect_study(fx, MODS, "C*", "3 1 ");
	expect_study(fx, MODS, "MR\\SR", "3 2 1 ");
	expect(fx, NX_LEVEL_SERIES, MOD, "MR", "2 ");
	expect(fx, NX_LEVEL_SERIES, MOD, "MR\\CT", "3 2 1 ");
	expect(fx, NX_LEVEL_SERIES, SEUID, "1.3.1", "3 ");
}

static void test_relational_queries_see_live_instances(void **state)
{
	struct fixture *fx = *state;

	expect(fx, NX_LEVEL_SERIES, PID, "p1[x]", "2 ");
	expect(fx, NX_LEVEL_INSTANCE, PID, "p1[x]", "22 21 "); /* by number; 23 is an old version */
	expect(fx, NX_LEVEL_INSTANCE, MOD, "MR", "22 21 ");
	expect(fx, NX_LEVEL_INSTANCE, SOP, "1.1.1.1", "11 ");
	expect(fx, NX_LEVEL_INSTANCE, SOP, "1.1.1.1\\1.3.1.2", "32 11 ");
	expect(fx, NX_LEVEL_INSTANCE, SOP, "1.1.1.3", "");
	expect(fx, NX_LEVEL_INSTANCE, INUM, "3", "31 21 11 ");
	expect(fx, NX_LEVEL_INSTANCE, PN, "d*", "12 11 ");
}

static void test_what_has_no_instances_is_not_found(void **state)
{
	struct fixture *fx = *state;
	struct nx_study s = fx_study(4, "1.4");
	struct nx_series se = fx_series(4, 1, "1.1.2");

	fx_put_study(fx, &s);
	fx_put_series(fx, &se);
	expect(fx, NX_LEVEL_STUDY, SUID, "1.1\\1.4", "1 ");
	expect(fx, NX_LEVEL_SERIES, SUID, "1.1\\1.4", "1 ");
}

static void test_only_the_collections_given(void **state)
{
	struct fixture *fx = *state;
	struct nx_query query = {.level = NX_LEVEL_STUDY, .collections = both, .n_collections = 1};

	expect_n(fx, query, "2 1 ", false);
	query.n_collections = 0;
	expect_n(fx, query, "", false);
}

static void test_pages(void **state)
{
	struct fixture *fx = *state;

	expect_n(fx, (struct nx_query){.level = NX_LEVEL_STUDY, .limit = 2}, "3 2 ", true);
	expect_n(fx, (struct nx_query){.level = NX_LEVEL_STUDY, .limit = 3}, "3 2 1 ", false);
	expect_n(fx, (struct nx_query){.level = NX_LEVEL_STUDY, .limit = 2, .offset = 2}, "1 ",
		false);
	expect_n(
		fx, (struct nx_query){.level = NX_LEVEL_STUDY, .limit = 2, .offset = 9}, "", false);
}

static void test_the_callers_failure_stops(void **state)
{
	struct fixture *fx = *state;
	struct nx_query query = {.level = NX_LEVEL_STUDY, .collections = both, .n_collections = 2};
	struct found found = {.stop = NX_E_CLOSED};
	bool more;

	assert_rc(nx_cat_query(fx->cat, &query, found_one, &found, &more, &fx->err), NX_E_CLOSED);
	assert_string_equal(found.text, "3 ");
}

static void test_name_key(void **state)
{
	struct fixture *fx = *state;

	assert_string_equal(nx_cat_name_key("stra\xc3\x9f"
					    "e^\xc3\xa6^^ ",
				    fx->arena),
		"STRASSE^AE");
	assert_string_equal(nx_cat_name_key("e\xcc\x81", fx->arena), "E");
	assert_string_equal(nx_cat_name_key("\xd0\xb6^\xcf\x82", fx->arena), "\xd0\x96^\xce\xa3");
	assert_string_equal(nx_cat_name_key("==", fx->arena), "");
	assert_string_equal(nx_cat_name_key("a=^=b", fx->arena), "A==B");
	assert_string_equal(nx_cat_name_key("\xff\xc3", fx->arena), "\xff\xc3");
	assert_string_equal(nx_cat_name_key("", fx->arena), "");
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		FX(test_single_values_count_case),
		FX(test_wildcards),
		FX(test_person_names_without_case_and_accents),
		FX(test_fuzzy_names_any_order_prefix_of_each),
		FX(test_date_and_time_ranges),
		FX(test_a_moment_is_a_date_and_a_time_together),
		FX(test_patients_are_told_once_with_counts),
		FX(test_malformed_values_are_refused_with_their_tag),
		FX(test_keys_below_the_level_are_refused),
		FX(test_uid_lists_and_modalities),
		FX(test_relational_queries_see_live_instances),
		FX(test_what_has_no_instances_is_not_found),
		FX(test_only_the_collections_given),
		FX(test_pages),
		FX(test_the_callers_failure_stops),
		FX(test_name_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
