/*
 * catalog_priv.h - table descriptions, connections and statements of the catalog.
 *
 * Layer:   2 (catalog).  For src/catalog and its tests.
 * Threads: a struct conn belongs to one thread at a time.
 * PHI:     statements and rows hold it.
 */
#ifndef NX_CATALOG_CATALOG_PRIV_H
#define NX_CATALOG_CATALOG_PRIV_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "catalog/catalog.h"

struct cat_vfs;

enum {
	CAT_SCHEMA = 9, /* version this program writes: the highest `since` below */
	CAT_PAGE = 4096,
	CAT_RESERVE = 32, /* bytes of a page that are not SQLite's: nonce, tag, epoch */
	CAT_INDEX_COLS = 4,
	CAT_APPLICATION_ID = 0x4e584354, /* "NXCT" */

	CAT_READERS = 8,
	CAT_WRITER_CACHE_KIB = 64 * 1024,
	CAT_READER_CACHE_KIB = 4 * 1024,
	CAT_CHECKPOINT_CACHE_KIB = 256,
	CAT_WAL_CHECKPOINT_BYTES = 16 * 1024 * 1024,
	CAT_WAL_KEEP_BYTES = 64 * 1024 * 1024, /* -wal file size that outlives a checkpoint */
	CAT_IDLE_S = 2,                        /* without a commit: the -wal is truncated */
	CAT_BUSY_MS = 10000,
};

/* ---- schema.c ---- */

struct cat_column {
	const char *name;
	uint16_t offset; /* in the row struct: int64_t, const char * or struct nx_slice */
	uint8_t type;    /* enum nx_val_type, never NULL */
	uint8_t since;   /* schema version */
};

struct cat_index {
	const char *name;
	uint8_t cols[CAT_INDEX_COLS]; /* column numbers */
	uint8_t n_cols;
	uint8_t since;
	bool unique;
	const char *expr;       /* appended after the columns; NULL: none */
	const char *where;      /* of a partial index; NULL: all rows */
	const char *instead_of; /* name of an older index that it replaces; NULL: none */
};

struct cat_table {
	const char *name;
	const struct cat_column *cols;
	const struct cat_index *indexes;
	uint16_t row_size;
	uint8_t n_cols;
	uint8_t n_indexes;
	uint8_t n_pk; /* leading columns */
	uint8_t since;
	bool clustered; /* WITHOUT ROWID; else the one key column is the rowid */
};

/* NULL for a number that is no table. */
const struct cat_table *nx_cat_table(unsigned table);
/* "st.id, st.collection, ..."; `alias` may be NULL. */
/* Number of a column; -1 when the table has none of that name. */
int nx_cat_column(const struct cat_table *table, const char *name);
void nx_cat_put_columns(struct nx_buf *sql, const struct cat_table *table, const char *alias);
/* Statements that bring a schema of version `from` (0: empty) to CAT_SCHEMA. */
void nx_cat_put_ddl(struct nx_buf *sql, unsigned from);

/* ---- op.c ---- */

/* The operation fits its table: number and types of values. */
NX_NODISCARD nx_rc nx_op_check(const struct nx_op *op, struct nx_err *err);

/* ---- conn.c ---- */

/* Prepared once per connection; rows of the table in lookup.c. */
enum cat_stmt {
	CAT_S_KV,
	CAT_S_COLLECTION,
	CAT_S_COLLECTION_ID,
	CAT_S_SUBJECT,
	CAT_S_STUDY,
	CAT_S_STUDY_ID,
	CAT_S_SERIES,
	CAT_S_SERIES_ID,
	CAT_S_SERIES_ELSEWHERE,
	CAT_S_ITEM_LATEST,
	CAT_S_OBJECT,
	CAT_S_ITEM_ID,
	CAT_S_ITEM_IN_SERIES,
	CAT_S_ITEM_OF_SERIES,
	CAT_S_BLOB,
	CAT_S_TAG,
	CAT_S_TAGS_IN,
	CAT_S_PRINCIPAL,
	CAT_S_AE,
	CAT_S_DESTINATION,
	CAT_S_EDIT,
	CAT_S_REJECTION,
	CAT_S_REJECTIONS,
	CAT_S_CONFLICT_LIKE,
	CAT_S_COLLECTIONS,
	CAT_S_SERIES_OF,
	CAT_S_ITEMS_OF,
	CAT_S_ITEMS_KEPT_OF,
	CAT_S_ITEMS_OF_SUBJECT,
	CAT_S_OBJECTS,
	CAT_S_ITEMS_ALL,
	CAT_S_BLOBS_ALL,
	CAT_S_STUDIES_ALL,
	CAT_S_SERIES_ALL,
	CAT_S_PACKS,
	CAT_S_QUARANTINE,
	CAT_S_CONFLICTS,
	CAT_S_DELIVERIES,
	CAT_S_DELIVERIES_FIRST,
	CAT_S_FEED,
	CAT_S_WORKLIST_MISSING,
	CAT_S_WORKLIST_OVERDUE,
	CAT_S_COMMITMENTS_BEFORE,
	CAT_S_COUNT
};

struct conn {
	sqlite3 *db;
	struct conn *next; /* in the pool's free list */
	sqlite3_stmt *stmts[CAT_S_COUNT];
};

enum conn_role {
	CONN_WRITER,
	CONN_READER,
	CONN_CHECKPOINT
};

/* What a connection is opened to. */
struct conn_target {
	const char *path; /* file name, or a memdb URI */
	const char *vfs;
	bool memory;
	bool fresh; /* the file is empty: lay it out */
};

NX_NODISCARD nx_rc nx_cat_conn_open(const struct conn_target *target, enum conn_role role,
	struct conn **ret_conn, struct nx_err *err);
struct conn *nx_cat_conn_free(struct conn *conn);

/* Our code for an SQLite result, with `what` (constant words) and the result number as text. */
nx_rc nx_sql_err(struct nx_err *err, int sqlite_rc, const char *what);
NX_NODISCARD nx_rc nx_sql_exec(sqlite3 *db, const char *sql, struct nx_err *err);
void nx_sql_rollback(sqlite3 *db);
NX_NODISCARD nx_rc nx_sql_prepare(
	sqlite3 *db, struct nx_buf *sql, bool keep, sqlite3_stmt **ret_stmt, struct nx_err *err);
NX_NODISCARD nx_rc nx_sql_int(sqlite3 *db, const char *sql, int64_t *ret, struct nx_err *err);

/* ---- rows.c ---- */

/* `column_type` says what a NULL stands for.  The value is borrowed until the statement is reset.
 */
int nx_row_bind(sqlite3_stmt *stmt, int at, const struct nx_val *val, uint8_t column_type);
NX_NODISCARD nx_rc nx_row_read(sqlite3_stmt *stmt, int first, const struct cat_table *table,
	struct nx_arena *arena, void *ret_row, struct nx_err *err);
NX_NODISCARD nx_rc nx_row_read_op(sqlite3_stmt *stmt, unsigned table, struct nx_arena *arena,
	struct nx_op *ret_op, struct nx_err *err);

/* ---- catalog.c ---- */

struct pool {
	pthread_mutex_t lock; /* guards the rest */
	struct conn *free;
	unsigned n_free;
};

struct checkpointer {
	pthread_t thread;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t wake;
	struct conn *conn;
	bool running;
	bool stop;
	uint64_t wal_bytes;  /* in the log after the last commit */
	uint64_t done_bytes; /* of these, at the last pass */
	uint64_t commits;
};

struct applier;

struct nx_cat {
	struct conn_target target;
	char *path;
	struct cat_vfs *vfs;
	struct conn *writer;
	unsigned n_readers;
	/* Held from the first staged group to the commit, and for the end of a checkpoint: the log
	 * starts again only when it is empty and no transaction is open. */
	pthread_mutex_t write_lock;
	struct applier *applier;
	bool staged; /* a transaction is open; the stager's */
	uint64_t staged_seq;
	_Atomic bool owned; /* `owner` is set and stays */
	pthread_t owner;
	struct pool pool;
	struct checkpointer ckpt;
	_Atomic uint64_t watermark;
};

NX_NODISCARD nx_rc nx_cat_take_reader(
	struct nx_cat *cat, struct conn **ret_conn, struct nx_err *err);
void nx_cat_give_reader(struct nx_cat *cat, struct conn *conn);
/* For a look-up or a list: the writer for who owns it, else a reader. */
NX_NODISCARD nx_rc nx_cat_take_conn(struct nx_cat *cat, struct conn **ret_conn, struct nx_err *err);
void nx_cat_give_conn(struct nx_cat *cat, struct conn *conn);

/* ---- apply.c ---- */

NX_NODISCARD nx_rc nx_applier_new(
	struct conn *writer, struct applier **ret_applier, struct nx_err *err);
struct applier *nx_applier_free(struct applier *applier);
NX_NODISCARD nx_rc nx_cat_watermark_load(struct nx_cat *cat, struct nx_err *err);

/* ---- checkpoint.c ---- */

NX_NODISCARD nx_rc nx_checkpoint_start(struct nx_cat *cat, struct nx_err *err);
void nx_checkpoint_stop(struct nx_cat *cat);

/* ---- lookup.c ---- */

/* The connection's prepared statement, with `args` bound. */
NX_NODISCARD nx_rc nx_cat_stmt(struct conn *conn, enum cat_stmt which, const struct nx_val *args,
	size_t n_args, sqlite3_stmt **ret_stmt, struct nx_err *err);
const struct cat_table *nx_cat_stmt_table(enum cat_stmt which);

/* ---- fold.c ---- */

/* Appends `name` in upper case without accents; bytes that are not UTF-8 are kept. */
void nx_fold_name(struct nx_slice name, struct nx_buf *out);
NX_NODISCARD int nx_fold_register(sqlite3 *db); /* SQL functions nx_fold(), nx_hash() */

/* ---- vfs_crypt.c ---- */

/* An SQLite VFS of its own name that encrypts under `key` over the VFS `under` (NULL: default). */
NX_NODISCARD nx_rc nx_cat_vfs_new(
	const struct nx_key *key, const char *under, struct cat_vfs **ret_vfs, struct nx_err *err);
struct cat_vfs *nx_cat_vfs_free(struct cat_vfs *vfs);

const char *nx_cat_vfs_name(const struct cat_vfs *vfs);
/* *ret_fresh: there is no such file, or an empty one.  NX_E_KEY, NX_E_CORRUPT by its first bytes.
 */
NX_NODISCARD nx_rc nx_cat_vfs_probe(
	const struct cat_vfs *vfs, const char *path, bool *ret_fresh, struct nx_err *err);

#endif
