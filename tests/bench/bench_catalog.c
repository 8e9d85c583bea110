/*
 * bench_catalog - rate of applied instance rows, bytes per instance, query latency.
 *
 *   bench_catalog [-n instances] [-r rounds of each query] [-d dir] [-m]
 *
 * Studies of 5 series x 20 instances, 16 studies arriving interleaved, groups of 32.  Per instance
 * one item row with a 200-byte recipe, one blob row, counters of its series and study; per group
 * three ledger tags and the watermark.  -m: in memory, not encrypted.
 */
#include <getopt.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "crypto/crypto.h"

enum {
	GROUP = 32,
	STREAMS = 16,
	PER_SERIES = 20,
	PER_STUDY = 100,
	RECIPE = 200,
	OPS_MAX = GROUP * 6 + 8
};

static const char *const family[] = {"GARCIA", "MUELLER", "SMITH", "ROSSI", "DUBOIS", "KOWALSKI",
	"IVANOVA", "TANAKA", "SILVA", "JANSEN"};
static const char *const modality[] = {"CT", "MR", "US", "CR"};

struct bench {
	struct nx_cat *cat;
	struct nx_arena *arena; /* of one group */
	struct nx_op ops[OPS_MAX];
	size_t n_ops;
	uint64_t seq;
	int64_t next_item;
	uint8_t recipe[RECIPE];
};

static void die(const char *what, const struct nx_err *err)
{
	(void)fprintf(stderr, "%s: %s\n", what, nx_err_text(err));
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static char *study_uid(struct bench *b, int64_t study)
{
	return nx_arena_printf(b->arena, "1.2.840.113619.2.55.3.%llu.%lld",
		(unsigned long long)mix((uint64_t)study), (long long)study);
}

static void put(struct bench *b, nx_rc rc)
{
	if (rc)
		die("operation", NULL);
	b->n_ops++;
}

static void put_study(struct bench *b, int64_t study)
{
	uint64_t h = mix((uint64_t)study + 77);
	const char *mod = modality[study % 4];
	char *name = nx_arena_printf(
		b->arena, "%s%llu^ANNA", family[h % 10], (unsigned long long)(h >> 8) % 1000);
	struct nx_study row = {.id = study,
		.collection = 1,
		.subject = (int64_t)(mix((uint64_t)study * 3) >> 1),
		.uid = study_uid(b, study),
		.patient_id =
			nx_arena_printf(b->arena, "P%08lld", (long long)study * 7919 % 100000000),
		.issuer = "HOSPITAL",
		.patient_name = name,
		.name_key = nx_cat_name_key(name, b->arena),
		.birth_date = "19700101",
		.sex = "F",
		.date = nx_arena_printf(b->arena, "20%02d%02d%02d", (int)(14 + h % 10),
			(int)(1 + (h >> 8) % 12), (int)(1 + (h >> 16) % 28)),
		.time = "101530",
		.accession = nx_arena_printf(b->arena, "A%llu", (unsigned long long)h % 100000000),
		.referring = "HOUSE^GREGORY",
		.description = "THORAX WITH CONTRAST",
		.study_id = "1",
		.modalities = mod,
		.n_series = 5};
	struct nx_subject_row subject = {.domain = 1,
		.issuer = "HOSPITAL",
		.patient_id = row.patient_id,
		.subject = row.subject};

	put(b, nx_op_put_study(&row, 1, b->arena, &b->ops[b->n_ops]));
	put(b, nx_op_put_subject(&subject, b->arena, &b->ops[b->n_ops]));
}

static void put_series(struct bench *b, int64_t series, int64_t study)
{
	struct nx_series row = {.id = series,
		.study = study,
		.uid = nx_arena_printf(
			b->arena, "%s.%lld", study_uid(b, study), (long long)series % 5),
		.modality = modality[study % 4],
		.number = nx_arena_printf(b->arena, "%lld", (long long)series % 5),
		.description = "AXIAL 1.0 LUNG",
		.body_part = "CHEST",
		.station = "CT01"};

	put(b, nx_op_put_series(&row, 1, 1, b->arena, &b->ops[b->n_ops]));
}

static void put_count(struct bench *b, enum nx_table table, int64_t id, int column)
{
	struct nx_val *vals = nx_arena_alloc_array(b->arena, 3, sizeof(*vals));

	vals[0] = nx_val_int(id);
	vals[1] = nx_val_int(column);
	vals[2] = nx_val_int(1);
	b->ops[b->n_ops++] =
		(struct nx_op){.verb = NX_OP_ADD, .table = (uint8_t)table, .n = 3, .vals = vals};
}

/* Instance `k` of `study`. */
static void put_instance(struct bench *b, int64_t study, int k)
{
	int64_t series = study * 5 + k / PER_SERIES;
	int64_t id = ++b->next_item;
	uint8_t *extents = nx_arena_alloc(b->arena, 24);
	struct nx_blob_row blob = {.id = id, .refs = 1, .extents = nx_slice(extents, 24)};
	struct nx_item item = {.id = id,
		.collection = 1,
		.subject = (int64_t)(mix((uint64_t)study * 3) >> 1),
		.domain = 1,
		.series = series,
		.name = nx_arena_printf(
			b->arena, "%s.%d.%lld", study_uid(b, study), k / PER_SERIES, (long long)id),
		.version = 1,
		.state = NX_ITEM_LIVE,
		.type = "1.2.840.10008.5.1.4.1.1.2",
		.ts_uid = "1.2.840.10008.1.2.1",
		.number = k % PER_SERIES,
		.rows = 512,
		.columns = 512,
		.frames = 1,
		.size = 525000,
		.received_us = 1700000000000000 + id,
		.sealed = nx_slice(b->recipe, RECIPE)};

	memcpy(b->recipe, &id, sizeof(id));
	item.sealed.p = nx_arena_copy(b->arena, b->recipe, RECIPE);
	if (k == 0)
		put_study(b, study);
	if (k % PER_SERIES == 0)
		put_series(b, series, study);
	put(b, nx_op_put_blob(&blob, b->arena, &b->ops[b->n_ops]));
	put(b, nx_op_put_item(&item, b->arena, &b->ops[b->n_ops]));
	put_count(b, NX_T_SERIES, series, NX_C_SERIES_N_INSTANCES);
	put_count(b, NX_T_STUDY, study, NX_C_STUDY_N_INSTANCES);
}

static void put_tags(struct bench *b, int64_t study)
{
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t tag[2] = {mix((uint64_t)study * 3 + i), i};
		struct nx_tag_row row = {.count = 1, .last = study};

		if (i == 2)
			tag[0] = 42; /* the principal */
		row.tag = nx_slice(nx_arena_copy(b->arena, tag, sizeof(tag)), sizeof(tag));
		put(b, nx_op_put_tag(&row, b->arena, &b->ops[b->n_ops]));
	}
}

static int64_t apply(struct bench *b)
{
	struct nx_err err;
	int64_t start = nx_mono_us();

	if (nx_cat_apply(b->cat, ++b->seq, b->ops, b->n_ops, &err))
		die("apply", &err);
	b->n_ops = 0;
	nx_arena_reset(b->arena);
	return nx_mono_us() - start;
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void load(struct bench *b, int64_t n)
{
	int64_t *us = calloc((size_t)(n / GROUP) + 2, sizeof(*us));
	int64_t busy = 0;
	int64_t window = 0;
	int64_t mark = 0;
	int64_t wall = nx_mono_us();
	size_t groups = 0;

	for (int64_t i = 0; i < n; i++) {
		int64_t batch = i / (STREAMS * PER_STUDY);
		int64_t in_batch = i % (STREAMS * PER_STUDY);
		int64_t study = batch * STREAMS + in_batch % STREAMS + 1;

		put_instance(b, study, (int)(in_batch / STREAMS));
		if (b->n_ops < OPS_MAX - 16 && (i + 1) % GROUP && i + 1 < n)
			continue;
		put_tags(b, study);
		us[groups] = apply(b);
		busy += us[groups];
		window += us[groups++];
		if (i + 1 == 320 * GROUP || i + 1 == n || (i + 1) % (GROUP * 8192) == 0) {
			printf("  at %8lld: %6.0f instances/s applied since %lld\n",
				(long long)(i + 1), (double)(i + 1 - mark) * 1e6 / (double)window,
				(long long)mark);
			window = 0;
			mark = i + 1;
		}
	}
	wall = nx_mono_us() - wall;
	qsort(us, groups, sizeof(*us), by_value);
	printf("load: %.0f instances/s in apply, %.0f/s of wall clock; group p50 %.2f ms, p99 %.2f, "
	       "max %.1f\n",
		(double)n * 1e6 / (double)busy, (double)n * 1e6 / (double)wall,
		(double)us[groups / 2] / 1e3, (double)us[groups * 99 / 100] / 1e3,
		(double)us[groups - 1] / 1e3);
	free(us);
}

/* ---- queries ---- */

static nx_rc count_match(void *payload, const struct nx_match *match, struct nx_err *err)
{
	(void)match;
	(void)err;
	++*(int64_t *)payload;
	return NX_OK;
}

struct shape {
	const char *name;
	enum nx_query_level level;
	unsigned n_keys;
	uint32_t tags[2];
	unsigned every; /* run one round in so many: the slow ones */
};

static const struct shape shapes[] = {
	{"patient id", NX_LEVEL_STUDY, 1, {0x00100020}, 1},
	{"study uid", NX_LEVEL_STUDY, 1, {0x0020000d}, 1},
	{"7 days + modality", NX_LEVEL_STUDY, 2, {0x00080020, 0x00080061}, 1},
	{"name prefix, 101 rows", NX_LEVEL_STUDY, 1, {0x00100010}, 1},
	{"series of a study", NX_LEVEL_SERIES, 1, {0x0020000d}, 1},
	{"100 instances of a study", NX_LEVEL_INSTANCE, 1, {0x0020000d}, 1},
	{"instance in a study", NX_LEVEL_INSTANCE, 2, {0x0020000d, 0x00080018}, 1},
	{"instance by its uid alone", NX_LEVEL_INSTANCE, 1, {0x00080018}, 20},
};

static const char *value_of(struct bench *b, uint32_t tag, int64_t study)
{
	uint64_t h = mix((uint64_t)study + 77);
	int day = (int)(1 + (h >> 16) % 20);

	switch (tag) {
	case 0x00100020:
		return nx_arena_printf(b->arena, "P%08lld", (long long)study * 7919 % 100000000);
	case 0x0020000d:
		return study_uid(b, study);
	case 0x00080020:
		return nx_arena_printf(b->arena, "20%02d%02d%02d-20%02d%02d%02d",
			(int)(14 + h % 10), (int)(1 + (h >> 8) % 12), day, (int)(14 + h % 10),
			(int)(1 + (h >> 8) % 12), day + 6);
	case 0x00080061:
		return modality[study % 4];
	case 0x00100010:
		return nx_arena_printf(b->arena, "%.4s*", family[study % 10]);
	default:
		return nx_arena_printf(b->arena, "%s.0.%lld", study_uid(b, study),
			(long long)((study - 1) / STREAMS * STREAMS * PER_STUDY +
				(study - 1) % STREAMS + 1));
	}
}

static int64_t query_once(struct bench *b, const struct shape *shape, int64_t study, int64_t *rows)
{
	static const int64_t collection = 1;
	struct nx_query_key keys[2];
	struct nx_query query = {.level = shape->level,
		.collections = &collection,
		.n_collections = 1,
		.keys = keys,
		.n_keys = shape->n_keys,
		.limit = 101};
	struct nx_err err;
	int64_t start;
	bool more;

	for (unsigned k = 0; k < shape->n_keys; k++)
		keys[k] = (struct nx_query_key){shape->tags[k], value_of(b, shape->tags[k], study)};
	start = nx_mono_us();
	if (nx_cat_query(b->cat, &query, count_match, rows, &more, &err))
		die("query", &err);
	start = nx_mono_us() - start;
	nx_arena_reset(b->arena);
	return start;
}

static void queries(struct bench *b, int64_t n_studies, unsigned rounds)
{
	int64_t *us = calloc(rounds, sizeof(*us));

	for (size_t s = 0; s < NX_ARRAY_LEN(shapes); s++) {
		unsigned n = rounds / shapes[s].every;
		int64_t rows = 0;

		for (unsigned r = 0; r < n; r++)
			us[r] = query_once(
				b, &shapes[s], (int64_t)(mix(r) % (uint64_t)n_studies) + 1, &rows);
		qsort(us, n, sizeof(*us), by_value);
		printf("query %-26s p50 %7.3f ms  p99 %7.3f ms  %.1f rows\n", shapes[s].name,
			(double)us[n / 2] / 1e3, (double)us[n * 99 / 100] / 1e3,
			(double)rows / (double)n);
	}
	free(us);
}

int main(int argc, char **argv)
{
	static struct bench b;
	const char *dir = "/tmp";
	int64_t n = 100000;
	unsigned rounds = 1000;
	bool memory = false;
	char path[256];
	struct nx_key key;
	struct nx_cat_opts opts = {.path = path, .key = &key};
	struct nx_err err = {0};
	struct rusage usage;
	struct stat st;
	int opt;

	while ((opt = getopt(argc, argv, "n:r:d:m")) != -1) {
		if (opt == 'n')
			n = strtoll(optarg, NULL, 10);
		else if (opt == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'd')
			dir = optarg;
		else if (opt == 'm')
			memory = true;
		else
			return 2;
	}
	if (n < GROUP || !rounds || nx_crypto_init(&err))
		return 2;
	(void)snprintf(path, sizeof(path), "%s/bench-catalog.db", dir);
	(void)unlink(path);
	if (memory)
		path[0] = 0;
	nx_random(&key, sizeof(key));
	nx_random(b.recipe, sizeof(b.recipe));
	b.arena = nx_arena_new(16u << 20, 0);
	if (!b.arena || nx_cat_open(&opts, &b.cat, &err))
		die("open", &err);
	printf("%s, %lld instances, groups of %d\n", nx_crypto_describe(), (long long)n, GROUP);
	load(&b, n);
	queries(&b, n / PER_STUDY > 0 ? n / PER_STUDY : 1, rounds);
	(void)getrusage(RUSAGE_SELF, &usage);
	nx_cat_free(b.cat);
	nx_arena_free(b.arena);
	if (!memory && stat(path, &st) == 0)
		printf("%.0f bytes an instance in the file", (double)st.st_size / (double)n);
	printf("; %ld MiB resident at most\n", usage.ru_maxrss / 1024);
	(void)unlink(path);
	return 0;
}
