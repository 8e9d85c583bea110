/* Rules of forwarding: which instances go on to which destination. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/wildcard.h"
#include "lifecycle/forward_priv.h"

enum {
	CONDITIONS_MAX = 32 * 1024 /* bytes of all conditions of a rule, as JSON */
};

/* What a condition can be about.  To add one, add a row. */
static const struct fact {
	const char *word;
	enum {
		OF_PUT,
		OF_STUDY,
		OF_SERIES,
		OF_ITEM
	} of;
	size_t at; /* const char * in that struct */
} facts[] = {
	{"Modality", OF_SERIES, offsetof(struct nx_series, modality)},
	{"CallingAE", OF_PUT, offsetof(struct nx_put, source)},
	{"SOPClassUID", OF_ITEM, offsetof(struct nx_item, type)},
	{"TransferSyntaxUID", OF_ITEM, offsetof(struct nx_item, ts_uid)},
	{"StudyDescription", OF_STUDY, offsetof(struct nx_study, description)},
	{"SeriesDescription", OF_SERIES, offsetof(struct nx_series, description)},
	{"BodyPartExamined", OF_SERIES, offsetof(struct nx_series, body_part)},
	{"StationName", OF_SERIES, offsetof(struct nx_series, station)},
	{"ReferringPhysicianName", OF_STUDY, offsetof(struct nx_study, referring)},
};

struct condition {
	const struct fact *fact;
	char *pattern;
};

struct rule {
	char name[NX_LIMIT_NAME + 1];
	char collection[NX_LIMIT_NAME + 1];
	char destination[16 + 1];
	bool commitment;
	struct condition conditions[NX_LIMIT_FORWARD_CONDITIONS];
	size_t n_conditions;
};

struct forward_rules {
	struct rule *rules;
	size_t n;
};

static const struct fact *fact_find(const char *word)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(facts); i++)
		if (strcmp(facts[i].word, word) == 0)
			return &facts[i];
	return NULL;
}

/* ---- matching ---- */

static bool any_of(const char *patterns, const char *text)
{
	size_t n = strcspn(patterns, "\\");

	while (!nx_wildcard(patterns, n, text, strlen(text), true)) {
		if (!patterns[n])
			return false;
		patterns += n + 1;
		n = strcspn(patterns, "\\");
	}
	return true;
}

static const char *fact_of(const struct fact *fact, const struct nx_put *put)
{
	const void *const structs[] = {
		[OF_PUT] = put,
		[OF_STUDY] = put->study,
		[OF_SERIES] = put->series,
		[OF_ITEM] = put->item,
	};
	const char *text;

	memcpy(&text, (const char *)structs[fact->of] + fact->at, sizeof(text));
	return text ? text : "";
}

/* What came from there is there. */
static bool wants(const struct rule *rule, const struct nx_put *put)
{
	if (strcmp(rule->collection, put->collection->name) != 0 ||
		(put->source && strcmp(rule->destination, put->source) == 0))
		return false;
	for (size_t i = 0; i < rule->n_conditions; i++)
		if (!any_of(rule->conditions[i].pattern, fact_of(rule->conditions[i].fact, put)))
			return false;
	return true;
}

size_t forward_rules_n(const struct forward_rules *rules)
{
	return rules->n;
}

nx_rc forward_rules_match(const struct forward_rules *rules, const struct nx_put *put,
	nx_rc (*fn)(void *payload, const struct forward_want *want, struct nx_err *err),
	void *payload, struct nx_err *err)
{
	nx_rc rc = NX_OK;

	for (size_t i = 0; i < rules->n && !rc; i++) {
		const struct rule *rule = &rules->rules[i];
		const struct forward_want want = {rule->name, rule->destination, rule->commitment};

		if (wants(rule, put))
			rc = fn(payload, &want, err);
	}
	return rc;
}

/* ---- from the catalog ---- */

struct forward_rules *forward_rules_free(struct forward_rules *rules)
{
	if (!rules)
		return NULL;
	for (size_t i = 0; i < rules->n; i++)
		for (size_t k = 0; k < rules->rules[i].n_conditions; k++)
			free(rules->rules[i].conditions[k].pattern);
	free(rules->rules);
	free(rules);
	return NULL;
}
NX_DEFINE_AUTO(forward_rules);

static nx_rc conditions_take(struct rule *rule, json_t *object, struct nx_err *err)
{
	const char *word;
	json_t *value;

	json_object_foreach(object, word, value)
	{
		struct condition *c = &rule->conditions[rule->n_conditions];

		if (rule->n_conditions == NX_ARRAY_LEN(rule->conditions))
			return nx_err_set(err, NX_E_CORRUPT, "rule with too many conditions");
		*c = (struct condition){fact_find(word), NULL};
		if (!c->fact || !json_is_string(value))
			return nx_err_set(
				err, NX_E_VERSION, "rule with a condition that is not known");
		c->pattern = strdup(json_string_value(value));
		if (!c->pattern)
			return nx_err_set(err, NX_E_NOMEM, "no memory for a rule");
		rule->n_conditions++;
	}
	return NX_OK;
}

static nx_rc rule_take(struct rule *rule, const struct nx_forward_row *row, struct nx_err *err)
{
	json_t *object = json_loads(row->conditions, 0, NULL);
	nx_rc rc;

	(void)snprintf(rule->name, sizeof(rule->name), "%s", row->name);
	(void)snprintf(rule->collection, sizeof(rule->collection), "%s", row->collection);
	(void)snprintf(rule->destination, sizeof(rule->destination), "%s", row->destination);
	rule->commitment = row->commitment;
	rc = json_is_object(object)
		? conditions_take(rule, object, err)
		: nx_err_set(err, NX_E_CORRUPT, "conditions of a rule are no object");
	json_decref(object);
	return rc;
}

static nx_rc rows_read(struct nx_forward *f, struct nx_arena *arena, struct nx_op **ret_rows,
	size_t *ret_n, struct nx_err *err)
{
	return nx_cat_rows(nx_archive_cat(f->opts.archive),
		&(struct nx_rows_of){.table = NX_T_FORWARD, .limit = NX_LIMIT_FORWARD_RULES}, arena,
		ret_rows, ret_n, err);
}

nx_rc forward_rules_load(struct nx_forward *f, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	NX_AUTO(forward_rules) *fresh = calloc(1, sizeof(*fresh));
	struct nx_op *rows = NULL;
	struct forward_rules *old;
	size_t n = 0;
	nx_rc rc;

	if (!arena || !fresh)
		return nx_err_set(err, NX_E_NOMEM, "no memory for rules");
	rc = rows_read(f, arena, &rows, &n, err);
	if (!rc) {
		fresh->rules = calloc(n + 1, sizeof(*fresh->rules));
		rc = fresh->rules ? NX_OK : nx_err_set(err, NX_E_NOMEM, "no memory for rules");
	}
	for (size_t i = 0; i < n && !rc; i++) {
		struct nx_forward_row row;

		rc = nx_op_row(&rows[i], arena, &row, err);
		if (!rc)
			rc = rule_take(&fresh->rules[fresh->n++], &row, err);
	}
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&f->lock);
	old = f->rules;
	f->rules = NX_STEAL(fresh);
	(void)pthread_mutex_unlock(&f->lock);
	forward_rules_free(old);
	return NX_OK;
}

/* ---- administration ---- */

static nx_rc conditions_check(const struct nx_forward_spec *spec, struct nx_err *err)
{
	if (spec->n_conditions > NX_LIMIT_FORWARD_CONDITIONS)
		return nx_err_set(
			err, NX_E_LIMIT, "more than %u conditions", NX_LIMIT_FORWARD_CONDITIONS);
	for (size_t i = 0; i < spec->n_conditions; i++) {
		const struct nx_forward_condition *c = &spec->conditions[i];
		size_t n = strlen(c->pattern);

		if (!fact_find(c->fact))
			return nx_err_set(
				err, NX_E_INVAL, "condition %zu is about nothing known", i + 1);
		if (n == 0 || n > NX_LIMIT_FORWARD_PATTERN)
			return nx_err_set(err, NX_E_INVAL,
				"condition %zu: value is not 1 to %u bytes", i + 1,
				NX_LIMIT_FORWARD_PATTERN);
		for (size_t k = 0; k < i; k++)
			if (strcmp(spec->conditions[k].fact, c->fact) == 0)
				return nx_err_set(err, NX_E_INVAL, "two conditions on one fact");
	}
	return NX_OK;
}

/* There is room, or one of that name goes. */
static nx_rc room_check(
	struct nx_forward *f, const char *name, struct nx_arena *arena, struct nx_err *err)
{
	struct nx_op *rows = NULL;
	size_t n = 0;
	nx_rc rc = rows_read(f, arena, &rows, &n, err);

	if (rc || n < NX_LIMIT_FORWARD_RULES)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (nx_slice_eq(rows[i].vals[0].s, nx_slice_str(name)))
			return NX_OK;
	return nx_err_set(err, NX_E_LIMIT, "more than %u rules", NX_LIMIT_FORWARD_RULES);
}

static nx_rc spec_check(struct nx_forward *f, const struct nx_forward_spec *spec,
	struct nx_arena *arena, struct nx_err *err)
{
	struct nx_cat *cat = nx_archive_cat(f->opts.archive);
	struct nx_destination_row destination;
	struct nx_collection collection;
	nx_rc rc = admin_name_check("name of the rule", spec->name, false, err);

	/* The ledger knows it as a principal. */
	if (!rc && strlen(spec->name) + strlen("rule:") > NX_LIMIT_NAME)
		rc = nx_err_set(err, NX_E_INVAL, "name of the rule is too long");

	if (!rc)
		rc = conditions_check(spec, err);
	if (!rc)
		rc = nx_cat_collection(cat, spec->collection, arena, &collection, err);
	if (!rc)
		rc = nx_cat_destination(cat, spec->destination, arena, &destination, err);
	return rc ? rc : room_check(f, spec->name, arena, err);
}

static const char *conditions_text(
	const struct nx_forward_spec *spec, struct nx_arena *arena, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;
	struct nx_json json;
	const char *text = NULL;

	nx_buf_init(&buf, CONDITIONS_MAX, 0);
	nx_json_init(&json, &buf);
	nx_json_object_begin(&json);
	for (size_t i = 0; i < spec->n_conditions; i++)
		nx_json_kv_str(&json, spec->conditions[i].fact, spec->conditions[i].pattern);
	nx_json_object_end(&json);
	if (!nx_buf_check(&buf, err))
		text = nx_arena_str(arena, (const char *)buf.data, buf.len);
	if (!text)
		(void)nx_err_set(err, NX_E_NOMEM, "no memory for a rule");
	return text;
}

nx_rc nx_forward_rule_set(struct nx_forward *forward, const struct nx_principal *who,
	const struct nx_forward_spec *spec, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_forward_row row = {.name = spec->name,
		.collection = spec->collection,
		.destination = spec->destination,
		.commitment = spec->commitment,
		.created_us = nx_now_us()};
	struct nx_op op;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(forward->opts.admin, who, NX_PERM_ADMIN, "forward.set", err);
	if (!rc)
		rc = spec_check(forward, spec, arena, err);
	if (rc)
		return rc;
	row.conditions = conditions_text(spec, arena, err);
	rc = row.conditions ? nx_op_put_forward(&row, arena, &op) : NX_E_NOMEM;
	if (!rc)
		rc = admin_change(forward->opts.admin, who, &op,
			&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
				.what = "forward.set",
				.keys = {"name", "collection", "destination", "conditions"},
				.values = {row.name, row.collection, row.destination,
					row.conditions}},
			err);
	return rc ? rc : forward_rules_load(forward, err);
}

nx_rc nx_forward_rule_remove(struct nx_forward *forward, const struct nx_principal *who,
	const char *name, struct nx_err *err)
{
	NX_AUTO(nx_arena) *arena = admin_arena(err);
	struct nx_val vals[] = {nx_val_text(name)};
	struct nx_op op = {.verb = NX_OP_DEL, .table = NX_T_FORWARD, .n = 1, .vals = vals};
	struct nx_op *rows = NULL;
	size_t n = 0;
	nx_rc rc;

	if (!arena)
		return NX_E_NOMEM;
	rc = admin_guard(forward->opts.admin, who, NX_PERM_ADMIN, "forward.remove", err);
	if (!rc)
		rc = nx_cat_rows(nx_archive_cat(forward->opts.archive),
			&(struct nx_rows_of){
				.table = NX_T_FORWARD, .where = vals, .n_where = 1, .limit = 1},
			arena, &rows, &n, err);
	if (!rc && !n)
		rc = nx_err_set(err, NX_E_NOENT, "no such rule");
	if (!rc)
		rc = admin_change(forward->opts.admin, who, &op,
			&(struct note){.action = NX_ACTION_CONFIG_CHANGE,
				.what = "forward.remove",
				.keys = {"name"},
				.values = {name}},
			err);
	return rc ? rc : forward_rules_load(forward, err);
}

static void rule_json(struct nx_json *json, const struct nx_val *vals)
{
	admin_json_text(json, "name", &vals[0]);
	admin_json_text(json, "collection", &vals[1]);
	admin_json_text(json, "destination", &vals[2]);
	nx_json_key(json, "conditions");
	nx_json_raw(json, vals[3].s);
	nx_json_kv_bool(json, "commitment", vals[5].i != 0);
	admin_json_time(json, "created", vals[4].i);
}

nx_rc nx_forward_rules(struct nx_forward *forward, const struct nx_principal *who,
	struct nx_buf *out, struct nx_err *err)
{
	static const struct admin_listing listing = {
		"forward.list", "rules", NX_T_FORWARD, rule_json};

	return admin_list(forward->opts.admin, who, &listing, out, err);
}
