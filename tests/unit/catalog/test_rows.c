#include "cat_fixture.h"

#include <pthread.h>

#include "catalog/catalog_priv.h"

static void test_every_table_takes_a_row_and_gives_it_back(void **state)
{
	struct fixture *fx = *state;

	for (unsigned t = 1; t < NX_T_COUNT_; t++) {
		const struct cat_table *table = nx_cat_table(t);
		struct nx_val vals[32] = {0};
		struct nx_op op = {
			.verb = NX_OP_PUT, .table = (uint8_t)t, .n = table->n_cols, .vals = vals};
		struct nx_op *rows;
		size_t n;

		for (unsigned i = 0; i < table->n_cols; i++) {
			if (table->cols[i].type == NX_VAL_INT)
				vals[i] = nx_val_int(100 + i);
			else if (table->cols[i].type == NX_VAL_TEXT)
				vals[i] = nx_val_text(table->cols[i].name);
			else
				vals[i] = nx_val_blob(nx_slice("0123456789abcdef", 16));
		}
		fx_apply(fx, &op, 1);
		fx_apply(fx, &op, 1); /* PUT again replaces */
		assert_ok(nx_cat_rows(fx->cat,
				  &(struct nx_rows_of){
					  .table = t, .where = vals, .n_where = table->n_pk},
				  fx->arena, &rows, &n, &fx->err),
			&fx->err);
		assert_int_equal(n, 1);
		for (unsigned i = 0; i < table->n_cols; i++) {
			assert_int_equal(rows[0].vals[i].type, table->cols[i].type);
			assert_i64(rows[0].vals[i].i, vals[i].i);
			assert_true(nx_slice_eq(rows[0].vals[i].s, vals[i].s));
		}
		op = (struct nx_op){
			.verb = NX_OP_DEL, .table = (uint8_t)t, .n = table->n_pk, .vals = vals};
		fx_apply(fx, &op, 1);
		assert_ok(nx_cat_rows(fx->cat,
				  &(struct nx_rows_of){
					  .table = t, .where = vals, .n_where = table->n_pk},
				  fx->arena, &rows, &n, &fx->err),
			&fx->err);
		assert_int_equal(n, 0);
	}
}

static void test_every_index_serves_nx_cat_rows(void **state)
{
	struct fixture *fx = *state;

	for (unsigned t = 1; t < NX_T_COUNT_; t++) {
		const struct cat_table *table = nx_cat_table(t);

		for (unsigned i = 1; i <= table->n_indexes; i++) {
			const struct cat_index *index = &table->indexes[i - 1];
			struct nx_val where[CAT_INDEX_COLS];
			struct nx_op *rows;
			size_t n;

			for (unsigned c = 0; c < index->n_cols; c++)
				where[c] = table->cols[index->cols[c]].type == NX_VAL_INT
					? nx_val_int(1)
					: nx_val_text("x");
			assert_ok(nx_cat_rows(fx->cat,
					  &(struct nx_rows_of){.table = t,
						  .index = i,
						  .where = where,
						  .n_where = index->n_cols,
						  .descending = true,
						  .limit = 5},
					  fx->arena, &rows, &n, &fx->err),
				&fx->err);
			assert_int_equal(n, 0);
		}
	}
}

static void test_column_numbers_are_those_of_the_tables(void **state)
{
	static const struct {
		unsigned table;
		unsigned column;
		const char *name;
	} want[] = {
		{NX_T_SUBJECT, NX_C_SUBJECT_MARKS, "marks"},
		{NX_T_STUDY, NX_C_STUDY_UPDATED_US, "updated_us"},
		{NX_T_STUDY, NX_C_STUDY_MODALITIES, "modalities"},
		{NX_T_STUDY, NX_C_STUDY_N_SERIES, "n_series"},
		{NX_T_STUDY, NX_C_STUDY_N_INSTANCES, "n_instances"},
		{NX_T_SERIES, NX_C_SERIES_N_INSTANCES, "n_instances"},
		{NX_T_SERIES, NX_C_SERIES_UPDATED_US, "updated_us"},
		{NX_T_ITEM, NX_C_ITEM_STATE, "state"},
		{NX_T_ITEM, NX_C_ITEM_SEALED, "sealed"},
		{NX_T_BLOB, NX_C_BLOB_REFS, "refs"},
		{NX_T_BLOB, NX_C_BLOB_EXTENTS, "extents"},
		{NX_T_PACK, NX_C_PACK_STATE, "state"},
		{NX_T_PRINCIPAL, NX_C_PRINCIPAL_REVOKED_US, "revoked_us"},
		{NX_T_QUARANTINE, NX_C_QUARANTINE_STATE, "state"},
		{NX_T_LEASE, NX_C_LEASE_STATE, "state"},
		{NX_T_JOB, NX_C_JOB_STATE, "state"},
		{NX_T_CONFLICT, NX_C_CONFLICT_STATE, "state"},
	};

	(void)state;
	for (size_t i = 0; i < NX_ARRAY_LEN(want); i++)
		assert_string_equal(
			nx_cat_table(want[i].table)->cols[want[i].column].name, want[i].name);
}

static void test_study_round_trip_and_lookups(void **state)
{
	struct fixture *fx = *state;
	struct nx_study row = fx_study(1, "1.2.3");
	struct nx_study got;

	row.birth_date = NULL;
	fx_put_study(fx, &row);
	assert_ok(nx_cat_study(fx->cat, 1, "1.2.3", fx->arena, &got, &fx->err), &fx->err);
	assert_i64(got.id, 1);
	assert_string_equal(got.patient_name, "Doe^Jane");
	assert_string_equal(got.birth_date, ""); /* never NULL in a row read */
	assert_i64(got.updated_us, 6);
	assert_rc(nx_cat_study(fx->cat, 2, "1.2.3", fx->arena, &got, NULL), NX_E_NOENT);
	assert_rc(nx_cat_study_by_id(fx->cat, 2, fx->arena, &got, NULL), NX_E_NOENT);
}

static void test_a_second_study_of_one_uid_is_a_conflict_and_changes_nothing(void **state)
{
	struct fixture *fx = *state;
	struct nx_study a = fx_study(1, "1.2.3");
	struct nx_study b = fx_study(2, "1.2.3");
	struct nx_series series = fx_series(7, 2, "1.2.3.4");
	struct nx_series got;
	struct nx_op ops[2];

	fx_put_study(fx, &a);
	assert_rc(nx_op_put_series(&series, 1, 1001, fx->arena, &ops[0]), NX_OK);
	assert_rc(nx_op_put_study(&b, 1, fx->arena, &ops[1]), NX_OK);
	assert_rc(nx_cat_apply(fx->cat, fx->seq + 1, ops, 2, &fx->err), NX_E_CONFLICT);
	assert_u64(nx_cat_watermark(fx->cat), fx->seq);
	assert_rc(nx_cat_series_by_id(fx->cat, 7, fx->arena, &got, NULL), NX_E_NOENT);
	b.collection = 2; /* another collection has its own */
	fx_put_study(fx, &b);
}

static void test_set_and_add(void **state)
{
	struct fixture *fx = *state;
	struct nx_study row = fx_study(1, "1.2.3");
	struct nx_val add[] = {nx_val_int(1), nx_val_int(NX_C_STUDY_N_INSTANCES), nx_val_int(5),
		nx_val_int(NX_C_STUDY_N_SERIES), nx_val_int(-1)};
	struct nx_val set[] = {nx_val_int(1), nx_val_int(NX_C_STUDY_MODALITIES), nx_val_text("MR")};
	struct nx_val absent[] = {nx_val_int(99), nx_val_int(NX_C_STUDY_N_SERIES), nx_val_int(1)};
	struct nx_op ops[] = {
		{.verb = NX_OP_ADD, .table = NX_T_STUDY, .n = 5, .vals = add},
		{.verb = NX_OP_SET, .table = NX_T_STUDY, .n = 3, .vals = set},
		{.verb = NX_OP_ADD, .table = NX_T_STUDY, .n = 5, .vals = add},
		{.verb = NX_OP_ADD, .table = NX_T_STUDY, .n = 3, .vals = absent},
	};
	struct nx_study got;

	row.n_series = 3;
	fx_put_study(fx, &row);
	fx_apply(fx, ops, NX_ARRAY_LEN(ops));
	assert_ok(nx_cat_study_by_id(fx->cat, 1, fx->arena, &got, &fx->err), &fx->err);
	assert_i64(got.n_instances, 10);
	assert_i64(got.n_series, 1);
	assert_string_equal(got.modalities, "MR");
}

static void test_many_shapes_of_updates(void **state)
{
	struct fixture *fx = *state;
	struct nx_study row = fx_study(1, "1.2.3");
	struct nx_study got;

	fx_put_study(fx, &row);
	for (int round = 0; round < 2; round++)
		for (int c = 3; c < 17; c++) { /* more than are kept prepared */
			struct nx_val set[] = {nx_val_int(1), nx_val_int(c), nx_val_text("v")};
			struct nx_op op = {
				.verb = NX_OP_SET, .table = NX_T_STUDY, .n = 3, .vals = set};

			fx_apply(fx, &op, 1);
		}
	assert_ok(nx_cat_study(fx->cat, 1, "v", fx->arena, &got, &fx->err), &fx->err);
	assert_string_equal(got.modalities, "v");
}

static void test_watermark_goes_up_only_and_stays(void **state)
{
	struct fixture *fx = *state;

	assert_u64(nx_cat_watermark(fx->cat), 0);
	assert_ok(nx_cat_apply(fx->cat, 10, NULL, 0, &fx->err), &fx->err);
	assert_rc(nx_cat_apply(fx->cat, 10, NULL, 0, NULL), NX_E_INVAL);
	assert_rc(nx_cat_apply(fx->cat, 9, NULL, 0, NULL), NX_E_INVAL);
	fx->cat = nx_cat_free(fx->cat);
	fx_open(fx);
	assert_u64(nx_cat_watermark(fx->cat), 10);
}

static void stage_study(struct fixture *fx, const struct nx_study *row)
{
	struct nx_op op;

	assert_rc(nx_op_put_study(row, 1, fx->arena, &op), NX_OK);
	assert_ok(nx_cat_stage(fx->cat, ++fx->seq, &op, 1, &fx->err), &fx->err);
}

static void *look_for_study(void *payload)
{
	struct fixture *fx = payload;
	struct nx_arena *arena = nx_arena_new(65536, 0);
	struct nx_study got;
	nx_rc rc = nx_cat_study(fx->cat, 1, "1.2.3", arena, &got, NULL);

	nx_arena_free(arena);
	return (void *)(intptr_t)rc;
}

/* What a thread that does not own the catalog finds. */
static nx_rc seen_by_others(struct fixture *fx)
{
	pthread_t thread;
	void *rc = NULL;

	assert_int_equal(pthread_create(&thread, NULL, look_for_study, fx), 0);
	assert_int_equal(pthread_join(thread, &rc), 0);
	return (nx_rc)(intptr_t)rc;
}

static void test_staged_rows_are_the_owners_until_the_commit(void **state)
{
	struct fixture *fx = *state;
	struct nx_study a = fx_study(1, "1.2.3"), b = fx_study(2, "1.2.4");
	struct nx_study got;

	nx_cat_own(fx->cat);
	stage_study(fx, &a);
	stage_study(fx, &b);
	assert_ok(nx_cat_study(fx->cat, 1, "1.2.3", fx->arena, &got, &fx->err), &fx->err);
	assert_rc(seen_by_others(fx), NX_E_NOENT);
	assert_u64(nx_cat_watermark(fx->cat), 0);
	assert_ok(nx_cat_commit(fx->cat, &fx->err), &fx->err);
	assert_rc(seen_by_others(fx), NX_OK);
	assert_u64(nx_cat_watermark(fx->cat), fx->seq);
	assert_ok(nx_cat_commit(fx->cat, &fx->err), &fx->err); /* nothing staged */
	assert_u64(nx_cat_watermark(fx->cat), fx->seq);
}

static void test_a_group_that_fails_takes_back_all_that_is_staged(void **state)
{
	struct fixture *fx = *state;
	struct nx_study a = fx_study(1, "1.2.3"), twin = fx_study(2, "1.2.3");
	struct nx_study got;
	struct nx_op op;

	nx_cat_own(fx->cat);
	stage_study(fx, &a);
	assert_rc(nx_cat_stage(fx->cat, fx->seq, NULL, 0, NULL), NX_E_INVAL); /* its number */
	assert_ok(nx_cat_study(fx->cat, 1, "1.2.3", fx->arena, &got, &fx->err), &fx->err);
	assert_rc(nx_op_put_study(&twin, 1, fx->arena, &op), NX_OK);
	assert_rc(nx_cat_stage(fx->cat, fx->seq + 1, &op, 1, &fx->err), NX_E_CONFLICT);
	assert_rc(nx_cat_study(fx->cat, 1, "1.2.3", fx->arena, &got, NULL), NX_E_NOENT);
	fx->seq = 0;
	stage_study(fx, &a); /* under the number it had */
	assert_ok(nx_cat_commit(fx->cat, &fx->err), &fx->err);
	assert_rc(seen_by_others(fx), NX_OK);
}

static void test_items_latest_version_and_in_series(void **state)
{
	struct fixture *fx = *state;
	struct nx_item v1 = fx_item(1, 7, "1.2.3.4.5");
	struct nx_item v2 = fx_item(2, 7, "1.2.3.4.5");
	struct nx_item got;

	v1.state = NX_ITEM_OLD;
	v2.version = 2;
	v2.sealed = nx_slice("\0recipe", 7);
	fx_put_item(fx, &v1);
	fx_put_item(fx, &v2);
	assert_ok(nx_cat_item_latest(fx->cat, 1, 1001, "1.2.3.4.5", fx->arena, &got, &fx->err),
		&fx->err);
	assert_i64(got.id, 2);
	assert_true(nx_slice_eq(got.sealed, v2.sealed));
	assert_rc(nx_cat_item_latest(fx->cat, 1, 1002, "1.2.3.4.5", fx->arena, &got, NULL),
		NX_E_NOENT);
	assert_ok(nx_cat_item_in_series(fx->cat, 7, "1.2.3.4.5", fx->arena, &got, &fx->err),
		&fx->err);
	assert_i64(got.version, 2);
	assert_rc(
		nx_cat_item_in_series(fx->cat, 8, "1.2.3.4.5", fx->arena, &got, NULL), NX_E_NOENT);
}

static void test_counts_follow_puts_states_and_deletes(void **state)
{
	struct fixture *fx = *state;
	struct nx_item a = fx_item(1, 7, "a");
	struct nx_item b = fx_item(2, 7, "b");
	struct nx_val set[] = {
		nx_val_int(1), nx_val_int(NX_C_ITEM_STATE), nx_val_int(NX_ITEM_ERASED)};
	struct nx_op ops[] = {
		{.verb = NX_OP_SET, .table = NX_T_ITEM, .n = 3, .vals = set},
		{.verb = NX_OP_DEL, .table = NX_T_ITEM, .n = 1, .vals = set},
	};
	struct nx_cat_counts counts;

	fx_put_item(fx, &a);
	fx_put_item(fx, &b);
	b.size = 5;
	fx_put_item(fx, &b);
	assert_ok(nx_cat_counts(fx->cat, &counts, &fx->err), &fx->err);
	assert_u64(counts.items, 2);
	assert_u64(counts.bytes, 1005);
	fx_apply(fx, &ops[0], 1);
	assert_ok(nx_cat_counts(fx->cat, &counts, &fx->err), &fx->err);
	assert_u64(counts.items, 1);
	assert_u64(counts.bytes, 5);
	fx_apply(fx, &ops[1], 1);
	assert_ok(nx_cat_counts(fx->cat, &counts, &fx->err), &fx->err);
	assert_u64(counts.items, 1);
}

struct seen {
	char text[512];
	unsigned n;
	unsigned stop_at;
};

static nx_rc see_item(void *payload, const void *row, struct nx_err *err)
{
	struct seen *seen = payload;
	const struct nx_item *item = row;
	size_t used = strlen(seen->text);

	(void)snprintf(seen->text + used, sizeof(seen->text) - used, "%s ", item->name);
	if (++seen->n == seen->stop_at)
		return nx_err_set(err, NX_E_CLOSED, "enough");
	return NX_OK;
}

static void test_items_of_a_series_by_number_then_name(void **state)
{
	static const struct {
		int64_t number;
		const char *name;
	} rows[] = {{10, "d"}, {2, "c"}, {2, "b"}, {1, "z"}};
	struct fixture *fx = *state;
	struct seen seen = {0};

	for (size_t i = 0; i < NX_ARRAY_LEN(rows); i++) {
		struct nx_item item = fx_item((int64_t)i + 1, 7, rows[i].name);

		item.number = rows[i].number;
		fx_put_item(fx, &item);
	}
	assert_ok(nx_cat_items_of(fx->cat, 7, see_item, &seen, &fx->err), &fx->err);
	assert_string_equal(seen.text, "z b c d ");
	seen = (struct seen){.stop_at = 2};
	assert_rc(nx_cat_items_of(fx->cat, 7, see_item, &seen, &fx->err), NX_E_CLOSED);
	assert_string_equal(seen.text, "z b ");
	seen = (struct seen){0};
	assert_ok(nx_cat_items_of_subject(fx->cat, 1001, see_item, &seen, &fx->err), &fx->err);
	assert_int_equal(seen.n, 4);
	seen = (struct seen){0};
	assert_ok(nx_cat_items_all(fx->cat, 1, 2, see_item, &seen, &fx->err), &fx->err);
	assert_string_equal(seen.text, "c b ");
}

static void test_objects_by_prefix_in_order(void **state)
{
	static const char *const names[] = {"a/1", "a/2", "a/\xc3\xa9", "a0", "b/1", "a"};
	struct fixture *fx = *state;
	struct seen seen = {0};

	for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) {
		struct nx_item item = fx_item((int64_t)i + 1, 0, names[i]);

		fx_put_item(fx, &item);
	}
	assert_ok(nx_cat_objects(fx->cat,
			  &(struct nx_objects_of){.collection = 1, .prefix = "a/", .limit = 100},
			  see_item, &seen, &fx->err),
		&fx->err);
	assert_string_equal(seen.text, "a/1 a/2 a/\xc3\xa9 ");
	seen = (struct seen){0};
	assert_ok(nx_cat_objects(fx->cat,
			  &(struct nx_objects_of){
				  .collection = 1, .prefix = "a/", .after = "a/1", .limit = 1},
			  see_item, &seen, &fx->err),
		&fx->err);
	assert_string_equal(seen.text, "a/2 ");
	seen = (struct seen){0};
	assert_ok(nx_cat_objects(fx->cat, &(struct nx_objects_of){.collection = 1, .limit = 100},
			  see_item, &seen, &fx->err),
		&fx->err);
	assert_string_equal(seen.text, "a a/1 a/2 a/\xc3\xa9 a0 b/1 ");
	seen = (struct seen){0};
	assert_ok(nx_cat_objects(fx->cat, &(struct nx_objects_of){.collection = 2, .limit = 100},
			  see_item, &seen, &fx->err),
		&fx->err);
	assert_int_equal(seen.n, 0);
}

static nx_rc see_tag(void *payload, const uint8_t tag[16], uint64_t count, uint64_t last)
{
	unsigned *n = payload;

	assert_int_equal(tag[0], 0x12);
	assert_int_equal(tag[1], 0xff);
	assert_u64(count, last + 1);
	++*n;
	return NX_OK;
}

static void test_tags_of_a_bucket(void **state)
{
	struct fixture *fx = *state;
	uint8_t tag[16] = {0x12, 0xff};
	uint64_t count;
	uint64_t last;
	unsigned n = 0;

	for (int i = 0; i < 3; i++) {
		struct nx_tag_row row = {.tag = nx_slice(tag, 16), .count = 2, .last = 1};
		struct nx_op op;

		assert_rc(nx_op_put_tag(&row, fx->arena, &op), NX_OK);
		fx_apply(fx, &op, 1);
		memset(tag + 2, 0xff, 14);
		tag[0] = i ? 0x13 : 0x12;
		tag[1] = i ? 0 : 0xff;
	}
	assert_ok(nx_cat_tags_in(fx->cat, 0x12ff, see_tag, &n, &fx->err), &fx->err);
	assert_int_equal(n, 2);
	memset(tag, 0, 16);
	assert_rc(nx_cat_tag(fx->cat, tag, &count, &last, NULL), NX_E_NOENT);
}

static void test_max_id(void **state)
{
	struct fixture *fx = *state;
	struct nx_item item = fx_item(41, 7, "a");
	uint64_t id;

	assert_ok(nx_cat_max_id(fx->cat, NX_T_ITEM, &id, &fx->err), &fx->err);
	assert_u64(id, 0);
	fx_put_item(fx, &item);
	assert_ok(nx_cat_max_id(fx->cat, NX_T_ITEM, &id, &fx->err), &fx->err);
	assert_u64(id, 41);
	assert_rc(nx_cat_max_id(fx->cat, NX_T_KV, &id, NULL), NX_E_INVAL);
}

int main(void)
{
#define FX(t) cmocka_unit_test_setup_teardown(t, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		FX(test_every_table_takes_a_row_and_gives_it_back),
		FX(test_every_index_serves_nx_cat_rows),
		cmocka_unit_test(test_column_numbers_are_those_of_the_tables),
		FX(test_study_round_trip_and_lookups),
		FX(test_a_second_study_of_one_uid_is_a_conflict_and_changes_nothing),
		FX(test_set_and_add),
		cmocka_unit_test_setup_teardown(test_set_and_add, fx_setup_memory, fx_teardown),
		FX(test_many_shapes_of_updates),
		FX(test_watermark_goes_up_only_and_stays),
		FX(test_staged_rows_are_the_owners_until_the_commit),
		FX(test_a_group_that_fails_takes_back_all_that_is_staged),
		FX(test_items_latest_version_and_in_series),
		FX(test_counts_follow_puts_states_and_deletes),
		FX(test_items_of_a_series_by_number_then_name),
		FX(test_objects_by_prefix_in_order),
		FX(test_tags_of_a_bucket),
		FX(test_max_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
