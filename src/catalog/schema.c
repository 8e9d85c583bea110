#include <assert.h>

#include "catalog/catalog_priv.h"

/*
 * The schema as data.  Columns stand in the order of the row struct and of PUT operations.  Append
 * only: a later version adds tables, columns at the end, and indexes, each with its `since`; the
 * statements that make or upgrade a catalog are printed from here.
 */
#define INT(row, m)                                        \
	{                                                  \
#m, offsetof(struct row, m), NX_VAL_INT, 1 \
	}
/* A column that came with a later version. */
#define INT_SINCE(row, m, version)                               \
	{                                                        \
#m, offsetof(struct row, m), NX_VAL_INT, version \
	}
#define TEXT(row, m)                                        \
	{                                                   \
#m, offsetof(struct row, m), NX_VAL_TEXT, 1 \
	}
#define TEXT_SINCE(row, m, version)                               \
	{                                                         \
#m, offsetof(struct row, m), NX_VAL_TEXT, version \
	}
#define BLOB(row, m)                                        \
	{                                                   \
#m, offsetof(struct row, m), NX_VAL_BLOB, 1 \
	}

#define BLOB_SINCE(row, m, version)                               \
	{                                                         \
#m, offsetof(struct row, m), NX_VAL_BLOB, version \
	}

static const struct cat_column kv_cols[] = {TEXT(nx_kv_row, key), BLOB(nx_kv_row, value)};

static const struct cat_column collection_cols[] = {
	INT(nx_collection, id),
	TEXT(nx_collection, name),
	TEXT(nx_collection, project),
	INT(nx_collection, zone),
	TEXT(nx_collection, domain_name),
	INT(nx_collection, domain),
	TEXT(nx_collection, tags),
	TEXT(nx_collection, on_conflict),
	INT(nx_collection, created_us),
};
static const struct cat_index collection_idx[] = {
	{.name = "collection_name", .cols = {1}, .n_cols = 1, .since = 1, .unique = true},
};

static const struct cat_column subject_cols[] = {
	INT(nx_subject_row, domain),
	TEXT(nx_subject_row, issuer),
	TEXT(nx_subject_row, patient_id),
	INT(nx_subject_row, subject),
	INT(nx_subject_row, created_us),
	INT_SINCE(nx_subject_row, marks, 8),
};
static const struct cat_index subject_idx[] = {
	{.name = "subject_subject", .cols = {3}, .n_cols = 1, .since = 1},
};

static const struct cat_column study_cols[] = {
	INT(nx_study, id),
	INT(nx_study, collection),
	INT(nx_study, subject),
	TEXT(nx_study, uid),
	TEXT(nx_study, patient_id),
	TEXT(nx_study, issuer),
	TEXT(nx_study, patient_name),
	TEXT(nx_study, name_key),
	TEXT(nx_study, birth_date),
	TEXT(nx_study, sex),
	TEXT(nx_study, date),
	TEXT(nx_study, time),
	TEXT(nx_study, accession),
	TEXT(nx_study, referring),
	TEXT(nx_study, description),
	TEXT(nx_study, study_id),
	TEXT(nx_study, modalities),
	INT(nx_study, n_series),
	INT(nx_study, n_instances),
	INT(nx_study, received_us),
	INT(nx_study, updated_us),
	INT_SINCE(nx_study, complete_us, 3),
};
/* No index on a column that every arriving instance changes.  Modalities stand behind the date, so
 * that the two together cost no look at a study of another modality. */
static const struct cat_index study_idx[] = {
	{.name = "study_uid", .cols = {3, 1}, .n_cols = 2, .since = 1, .unique = true},
	{.name = "study_patient", .cols = {4}, .n_cols = 1, .since = 1},
	{.name = "study_name", .cols = {7}, .n_cols = 1, .since = 1},
	{.name = "study_date_modalities",
		.cols = {10, 16},
		.n_cols = 2,
		.since = 3,
		.instead_of = "study_date"},
	{.name = "study_accession", .cols = {12}, .n_cols = 1, .since = 1},
	{.name = "study_subject", .cols = {2}, .n_cols = 1, .since = 1},
};

static const struct cat_column series_cols[] = {
	INT(nx_series, id),
	INT(nx_series, study),
	TEXT(nx_series, uid),
	TEXT(nx_series, modality),
	TEXT(nx_series, number),
	TEXT(nx_series, description),
	TEXT(nx_series, body_part),
	TEXT(nx_series, date),
	TEXT(nx_series, time),
	TEXT(nx_series, station),
	TEXT(nx_series, pps_date),
	TEXT(nx_series, pps_time),
	INT(nx_series, n_instances),
	INT(nx_series, updated_us),
};
static const struct cat_index series_idx[] = {
	{.name = "series_uid", .cols = {2, 1}, .n_cols = 2, .since = 1, .unique = true},
	{.name = "series_study", .cols = {1}, .n_cols = 1, .since = 1},
};

static const struct cat_column item_cols[] = {
	INT(nx_item, id),
	INT(nx_item, collection),
	INT(nx_item, subject),
	INT(nx_item, domain),
	INT(nx_item, series),
	TEXT(nx_item, name),
	INT(nx_item, version),
	INT(nx_item, state),
	TEXT(nx_item, type),
	TEXT(nx_item, ts_uid),
	INT(nx_item, number),
	INT(nx_item, rows),
	INT(nx_item, columns),
	INT(nx_item, frames),
	INT(nx_item, size),
	INT(nx_item, received_us),
	BLOB(nx_item, sealed),
};
/*
 * A name is up to 64 characters and is stored once, in the row: the indexes have nx_hash(name), 32
 * bits, behind a column that arriving instances share, so that inserts stay local.  Equal hashes
 * only cost a look at the row.  Objects outside DICOM are listed in order of name and pay for it.
 */
static const struct cat_index item_idx[] = {
	{.name = "item_subject", .cols = {2, 1}, .n_cols = 2, .since = 1, .expr = "nx_hash(name)"},
	{.name = "item_series",
		.cols = {4},
		.n_cols = 1,
		.since = 1,
		.expr = "nx_hash(name)",
		.where = "series > 0"},
	{.name = "item_object", .cols = {1, 5}, .n_cols = 2, .since = 1, .where = "series = 0"},
};

static const struct cat_column blob_cols[] = {
	INT(nx_blob_row, id),
	INT(nx_blob_row, refs),
	BLOB(nx_blob_row, extents),
};

static const struct cat_column pack_cols[] = {
	INT(nx_pack_row, id),
	INT(nx_pack_row, domain),
	INT(nx_pack_row, cls),
	INT(nx_pack_row, state),
	INT(nx_pack_row, first_seq),
	INT(nx_pack_row, created_us),
};

static const struct cat_column principal_cols[] = {
	TEXT(nx_principal_row, name),
	TEXT(nx_principal_row, role),
	BLOB(nx_principal_row, token_hash),
	INT(nx_principal_row, expires_us),
	INT(nx_principal_row, created_us),
	INT(nx_principal_row, revoked_us),
};
static const struct cat_index principal_idx[] = {
	{.name = "principal_token", .cols = {2}, .n_cols = 1, .since = 1, .unique = true},
};

static const struct cat_column ae_cols[] = {
	TEXT(nx_ae_row, ae),
	TEXT(nx_ae_row, called),
	TEXT(nx_ae_row, address),
	TEXT(nx_ae_row, collection),
	INT(nx_ae_row, created_us),
	TEXT_SINCE(nx_ae_row, role, 4),
};

static const struct cat_column destination_cols[] = {
	TEXT(nx_destination_row, ae),
	TEXT(nx_destination_row, host),
	INT(nx_destination_row, port),
	INT(nx_destination_row, tls),
	TEXT(nx_destination_row, calling),
	INT(nx_destination_row, created_us),
};

static const struct cat_column event_cols[] = {
	INT(nx_event_row, id),
	INT(nx_event_row, time_us),
	TEXT(nx_event_row, kind),
	INT(nx_event_row, subject),
	INT(nx_event_row, study),
	TEXT(nx_event_row, detail),
};
static const struct cat_index event_idx[] = {
	{.name = "event_subject", .cols = {3}, .n_cols = 1, .since = 1},
};

static const struct cat_column quarantine_cols[] = {
	INT(nx_quarantine_row, id),
	INT(nx_quarantine_row, time_us),
	INT(nx_quarantine_row, collection),
	TEXT(nx_quarantine_row, source),
	INT(nx_quarantine_row, reason),
	INT(nx_quarantine_row, size),
	INT(nx_quarantine_row, state),
	BLOB(nx_quarantine_row, sealed),
	INT_SINCE(nx_quarantine_row, item, 2),
	INT_SINCE(nx_quarantine_row, subject, 2),
	INT_SINCE(nx_quarantine_row, patient, 2),
};
static const struct cat_index quarantine_idx[] = {
	{.name = "quarantine_collection", .cols = {2, 6}, .n_cols = 2, .since = 1},
	{.name = "quarantine_subject", .cols = {9}, .n_cols = 1, .since = 2},
};

static const struct cat_column tag_cols[] = {
	BLOB(nx_tag_row, tag),
	INT(nx_tag_row, count),
	INT(nx_tag_row, last),
};

static const struct cat_column forget_cols[] = {
	INT(nx_forget_row, subject),
	INT(nx_forget_row, time_us),
};

static const struct cat_column release_cols[] = {
	INT(nx_release_row, id),
	TEXT(nx_release_row, name),
	INT(nx_release_row, version),
	INT(nx_release_row, collection),
	INT(nx_release_row, state),
	BLOB(nx_release_row, root),
	INT(nx_release_row, manifest),
	INT(nx_release_row, n_items),
	TEXT(nx_release_row, principal),
	INT(nx_release_row, created_us),
};
static const struct cat_index release_idx[] = {
	{.name = "release_name", .cols = {1, 2}, .n_cols = 2, .since = 1, .unique = true},
};

static const struct cat_column release_item_cols[] = {
	INT(nx_release_item_row, release),
	INT(nx_release_item_row, position),
	INT(nx_release_item_row, item),
};
static const struct cat_index release_item_idx[] = {
	{.name = "release_item_item", .cols = {2}, .n_cols = 1, .since = 1},
};

static const struct cat_column lease_cols[] = {
	TEXT(nx_lease_row, id),
	INT(nx_lease_row, release),
	TEXT(nx_lease_row, principal),
	TEXT(nx_lease_row, purpose),
	INT(nx_lease_row, expires_us),
	INT(nx_lease_row, state),
	INT(nx_lease_row, created_us),
};
static const struct cat_index lease_idx[] = {
	{.name = "lease_release", .cols = {1}, .n_cols = 1, .since = 1},
	{.name = "lease_state", .cols = {5, 4}, .n_cols = 2, .since = 1},
};

static const struct cat_column job_cols[] = {
	INT(nx_job_row, id),
	TEXT(nx_job_row, kind),
	INT(nx_job_row, state),
	INT(nx_job_row, collection),
	TEXT(nx_job_row, principal),
	TEXT(nx_job_row, spec),
	INT(nx_job_row, done),
	INT(nx_job_row, total),
	TEXT(nx_job_row, error),
	INT(nx_job_row, created_us),
	INT(nx_job_row, updated_us),
};
static const struct cat_index job_idx[] = {
	{.name = "job_state", .cols = {2}, .n_cols = 1, .since = 1},
};

static const struct cat_column vault_cols[] = {
	BLOB(nx_vault_row, key),
	BLOB(nx_vault_row, value),
};

static const struct cat_column conflict_cols[] = {
	INT(nx_conflict_row, id),
	INT(nx_conflict_row, collection),
	TEXT(nx_conflict_row, name),
	INT(nx_conflict_row, old_item),
	INT(nx_conflict_row, new_item),
	INT(nx_conflict_row, time_us),
	INT(nx_conflict_row, state),
	INT_SINCE(nx_conflict_row, kind, 8),
	INT_SINCE(nx_conflict_row, study, 8),
	INT_SINCE(nx_conflict_row, subject, 8),
	INT_SINCE(nx_conflict_row, mark, 8),
	INT_SINCE(nx_conflict_row, known, 8),
};
static const struct cat_index conflict_idx[] = {
	{.name = "conflict_collection", .cols = {1, 6}, .n_cols = 2, .since = 1},
	{.name = "conflict_subject", .cols = {9, 10}, .n_cols = 2, .since = 8},
};

static const struct cat_column forward_cols[] = {
	TEXT(nx_forward_row, name),
	TEXT(nx_forward_row, collection),
	TEXT(nx_forward_row, destination),
	TEXT(nx_forward_row, conditions),
	INT(nx_forward_row, created_us),
	INT_SINCE(nx_forward_row, commitment, 6),
};

static const struct cat_column delivery_cols[] = {
	INT(nx_delivery_row, id),
	INT(nx_delivery_row, kind),
	TEXT(nx_delivery_row, destination),
	INT(nx_delivery_row, state),
	INT(nx_delivery_row, due_us),
	INT(nx_delivery_row, tries),
	INT(nx_delivery_row, collection),
	INT(nx_delivery_row, subject),
	INT(nx_delivery_row, item),
	TEXT(nx_delivery_row, principal),
	INT(nx_delivery_row, status),
	INT(nx_delivery_row, code),
	INT(nx_delivery_row, created_us),
	TEXT_SINCE(nx_delivery_row, txn, 6),
	BLOB_SINCE(nx_delivery_row, payload, 6),
	INT_SINCE(nx_delivery_row, commitment, 6),
};
static const struct cat_index delivery_idx[] = {
	{.name = "delivery_due", .cols = {2, 4}, .n_cols = 2, .since = 5, .where = "state < 3"},
	{.name = "delivery_subject", .cols = {7}, .n_cols = 1, .since = 5},
	{.name = "delivery_txn", .cols = {13}, .n_cols = 1, .since = 6, .where = "txn != ''"},
};

static const struct cat_column feed_cols[] = {
	INT(nx_feed_row, collection),
	INT(nx_feed_row, number),
	INT(nx_feed_row, time_us),
	INT(nx_feed_row, action),
	INT(nx_feed_row, subject),
	INT(nx_feed_row, item),
};

static const struct cat_column commitment_cols[] = {
	INT(nx_commitment_row, collection),
	TEXT(nx_commitment_row, transaction_uid),
	TEXT(nx_commitment_row, principal),
	INT(nx_commitment_row, created_us),
	TEXT(nx_commitment_row, refs),
};
static const struct cat_index commitment_idx[] = {
	{.name = "commitment_created", .cols = {3}, .n_cols = 1, .since = 6},
};

static const struct cat_column step_cols[] = {
	INT(nx_step_row, collection),
	TEXT(nx_step_row, study_uid),
	TEXT(nx_step_row, name),
	INT(nx_step_row, subject),
};
static const struct cat_index step_idx[] = {
	{.name = "step_subject", .cols = {3}, .n_cols = 1, .since = 7},
};

static const struct cat_column edit_cols[] = {
	INT(nx_edit_row, item),
	INT(nx_edit_row, replaced),
	INT(nx_edit_row, subject),
	INT(nx_edit_row, was),
};
static const struct cat_index edit_idx[] = {
	{.name = "edit_subject", .cols = {2}, .n_cols = 1, .since = 8},
};

static const struct cat_column rejection_cols[] = {
	INT(nx_rejection_row, item),
	INT(nx_rejection_row, collection),
	INT(nx_rejection_row, subject),
	INT(nx_rejection_row, note),
	INT(nx_rejection_row, reason),
	INT(nx_rejection_row, time_us),
};
static const struct cat_index rejection_idx[] = {
	{.name = "rejection_collection", .cols = {1}, .n_cols = 1, .since = 8},
	{.name = "rejection_subject", .cols = {2}, .n_cols = 1, .since = 8},
};

static const struct cat_column worklist_cols[] = {
	INT(nx_worklist_row, collection),
	TEXT(nx_worklist_row, name),
	INT(nx_worklist_row, number),
	INT(nx_worklist_row, subject),
	INT(nx_worklist_row, state),
	TEXT(nx_worklist_row, day),
	TEXT(nx_worklist_row, since),
	TEXT(nx_worklist_row, modality),
	TEXT(nx_worklist_row, stations),
	TEXT(nx_worklist_row, step_id),
	TEXT(nx_worklist_row, patient_id),
	TEXT(nx_worklist_row, name_key),
	TEXT(nx_worklist_row, accession),
	TEXT(nx_worklist_row, study_uid),
	TEXT(nx_worklist_row, request_id),
	TEXT(nx_worklist_row, performed),
	INT(nx_worklist_row, changed_us),
};
static const struct cat_index worklist_idx[] = {
	{.name = "worklist_step", .cols = {13, 9}, .n_cols = 2, .since = 9},
	{.name = "worklist_day", .cols = {0, 4, 5}, .n_cols = 3, .since = 9},
	{.name = "worklist_since", .cols = {4, 6}, .n_cols = 2, .since = 9},
	{.name = "worklist_patient", .cols = {10}, .n_cols = 1, .since = 9},
	{.name = "worklist_name", .cols = {11}, .n_cols = 1, .since = 9},
	{.name = "worklist_accession", .cols = {12}, .n_cols = 1, .since = 9},
	{.name = "worklist_subject", .cols = {3}, .n_cols = 1, .since = 9},
};

/* `word` names the table, its columns and its struct. */
#define TABLE(word, row, pk, cluster) TABLE_SINCE(word, row, pk, cluster, 1)
#define TABLE_SINCE(word, row, pk, cluster, version)                             \
	.name = #word, .cols = word##_cols, .n_cols = NX_ARRAY_LEN(word##_cols), \
	.row_size = sizeof(struct row), .n_pk = (pk), .clustered = (cluster), .since = (version)
#define INDEXED(word) .indexes = word##_idx, .n_indexes = NX_ARRAY_LEN(word##_idx)

static const struct cat_table tables[NX_T_COUNT_] = {
	[NX_T_KV] = {TABLE(kv, nx_kv_row, 1, true)},
	[NX_T_COLLECTION] = {TABLE(collection, nx_collection, 1, false), INDEXED(collection)},
	[NX_T_SUBJECT] = {TABLE(subject, nx_subject_row, 3, true), INDEXED(subject)},
	[NX_T_STUDY] = {TABLE(study, nx_study, 1, false), INDEXED(study)},
	[NX_T_SERIES] = {TABLE(series, nx_series, 1, false), INDEXED(series)},
	[NX_T_ITEM] = {TABLE(item, nx_item, 1, false), INDEXED(item)},
	[NX_T_BLOB] = {TABLE(blob, nx_blob_row, 1, false)},
	[NX_T_PACK] = {TABLE(pack, nx_pack_row, 1, false)},
	[NX_T_PRINCIPAL] = {TABLE(principal, nx_principal_row, 1, true), INDEXED(principal)},
	[NX_T_AE] = {TABLE(ae, nx_ae_row, 2, true)},
	[NX_T_EVENT] = {TABLE(event, nx_event_row, 1, false), INDEXED(event)},
	[NX_T_QUARANTINE] = {TABLE(quarantine, nx_quarantine_row, 1, false), INDEXED(quarantine)},
	[NX_T_TAG] = {TABLE(tag, nx_tag_row, 1, true)},
	[NX_T_FORGET] = {TABLE(forget, nx_forget_row, 1, false)},
	[NX_T_RELEASE] = {TABLE(release, nx_release_row, 1, false), INDEXED(release)},
	[NX_T_RELEASE_ITEM] = {TABLE(release_item, nx_release_item_row, 2, true),
		INDEXED(release_item)},
	[NX_T_LEASE] = {TABLE(lease, nx_lease_row, 1, true), INDEXED(lease)},
	[NX_T_JOB] = {TABLE(job, nx_job_row, 1, false), INDEXED(job)},
	[NX_T_VAULT] = {TABLE(vault, nx_vault_row, 1, true)},
	[NX_T_CONFLICT] = {TABLE(conflict, nx_conflict_row, 1, false), INDEXED(conflict)},
	[NX_T_DESTINATION] = {TABLE_SINCE(destination, nx_destination_row, 1, true, 4)},
	[NX_T_FORWARD] = {TABLE_SINCE(forward, nx_forward_row, 1, true, 5)},
	[NX_T_DELIVERY] = {TABLE_SINCE(delivery, nx_delivery_row, 1, false, 5), INDEXED(delivery)},
	[NX_T_FEED] = {TABLE_SINCE(feed, nx_feed_row, 2, true, 6)},
	[NX_T_COMMITMENT] = {TABLE_SINCE(commitment, nx_commitment_row, 2, true, 6),
		INDEXED(commitment)},
	[NX_T_STEP] = {TABLE_SINCE(step, nx_step_row, 3, true, 7), INDEXED(step)},
	[NX_T_EDIT] = {TABLE_SINCE(edit, nx_edit_row, 1, false, 8), INDEXED(edit)},
	[NX_T_REJECTION] = {TABLE_SINCE(rejection, nx_rejection_row, 1, false, 8),
		INDEXED(rejection)},
	[NX_T_WORKLIST] = {TABLE_SINCE(worklist, nx_worklist_row, 3, true, 9), INDEXED(worklist)},
};

/* Running totals of live items, so that nx_cat_counts() never scans. */
static const char tally_ddl[] =
	"CREATE TABLE tally(id INTEGER PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL);"
	"INSERT INTO tally VALUES (1, 0, 0);"
	"CREATE TRIGGER item_added AFTER INSERT ON item WHEN new.state = 1 BEGIN "
	"UPDATE tally SET items = items + 1, bytes = bytes + new.size WHERE id = 1; END;"
	"CREATE TRIGGER item_removed AFTER DELETE ON item WHEN old.state = 1 BEGIN "
	"UPDATE tally SET items = items - 1, bytes = bytes - old.size WHERE id = 1; END;"
	"CREATE TRIGGER item_changed AFTER UPDATE OF state, size ON item BEGIN "
	"UPDATE tally SET items = items + (new.state = 1) - (old.state = 1), "
	"bytes = bytes + (new.state = 1) * new.size - (old.state = 1) * old.size WHERE id = 1; END;";

const struct cat_table *nx_cat_table(unsigned table)
{
	return table < NX_T_COUNT_ && tables[table].name ? &tables[table] : NULL;
}

int nx_cat_column(const struct cat_table *table, const char *name)
{
	for (unsigned i = 0; i < table->n_cols; i++)
		if (strcmp(table->cols[i].name, name) == 0)
			return (int)i;
	return -1;
}

void nx_cat_put_columns(struct nx_buf *sql, const struct cat_table *table, const char *alias)
{
	for (unsigned i = 0; i < table->n_cols; i++)
		nx_buf_printf(sql, "%s%s%s%s", i ? ", " : "", alias ? alias : "", alias ? "." : "",
			table->cols[i].name);
}

static void put_column(struct nx_buf *sql, const struct cat_column *col)
{
	static const char *const types[] = {
		[NX_VAL_INT] = "INTEGER NOT NULL DEFAULT 0",
		[NX_VAL_TEXT] = "TEXT NOT NULL DEFAULT ''",
		[NX_VAL_BLOB] = "BLOB NOT NULL DEFAULT x''",
	};

	nx_buf_printf(sql, "%s %s", col->name, types[col->type]);
}

static void put_create_table(struct nx_buf *sql, const struct cat_table *table)
{
	nx_buf_printf(sql, "CREATE TABLE %s(", table->name);
	for (unsigned i = 0; i < table->n_cols; i++) {
		if (i)
			nx_buf_put_str(sql, ", ");
		if (i == 0 && !table->clustered)
			nx_buf_printf(sql, "%s INTEGER PRIMARY KEY", table->cols[i].name);
		else
			put_column(sql, &table->cols[i]);
	}
	if (table->clustered) {
		nx_buf_put_str(sql, ", PRIMARY KEY(");
		for (unsigned i = 0; i < table->n_pk; i++)
			nx_buf_printf(sql, "%s%s", i ? ", " : "", table->cols[i].name);
		nx_buf_put_str(sql, ")");
	}
	nx_buf_put_str(sql, table->clustered ? ") WITHOUT ROWID, STRICT;" : ") STRICT;");
}

static void put_create_index(
	struct nx_buf *sql, const struct cat_table *table, const struct cat_index *index)
{
	if (index->instead_of)
		nx_buf_printf(sql, "DROP INDEX IF EXISTS %s;", index->instead_of);
	nx_buf_printf(sql, "CREATE %sINDEX %s ON %s(", index->unique ? "UNIQUE " : "", index->name,
		table->name);
	for (unsigned i = 0; i < index->n_cols; i++)
		nx_buf_printf(sql, "%s%s", i ? ", " : "", table->cols[index->cols[i]].name);
	if (index->expr)
		nx_buf_printf(sql, ", %s", index->expr);
	nx_buf_put_str(sql, ")");
	if (index->where)
		nx_buf_printf(sql, " WHERE %s", index->where);
	nx_buf_put_str(sql, ";");
}

static void put_table_ddl(struct nx_buf *sql, const struct cat_table *table, unsigned from)
{
	if (table->since > from)
		put_create_table(sql, table);
	for (unsigned i = 0; table->since <= from && i < table->n_cols; i++) {
		if (table->cols[i].since <= from)
			continue;
		nx_buf_printf(sql, "ALTER TABLE %s ADD COLUMN ", table->name);
		put_column(sql, &table->cols[i]);
		nx_buf_put_str(sql, ";");
	}
	for (unsigned i = 0; i < table->n_indexes; i++)
		if (table->indexes[i].since > from)
			put_create_index(sql, table, &table->indexes[i]);
}

void nx_cat_put_ddl(struct nx_buf *sql, unsigned from)
{
	for (unsigned t = 1; t < NX_T_COUNT_; t++)
		put_table_ddl(sql, &tables[t], from);
	if (from < 1)
		nx_buf_put_str(sql, tally_ddl);
	nx_buf_printf(sql, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		CAT_APPLICATION_ID, CAT_SCHEMA);
}
