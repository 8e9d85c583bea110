#include "dimse/dimse_priv.h"

#include "dimse/identifier_priv.h"

/* To add a service: its handlers in a file of their own, and a row here. */
const struct nx_dimse_service nx_dimse_services[] = {
	{
		.field = NX_C_ECHO_RQ,
		.name = "C-ECHO",
		.match = nx_echo_match,
		.permission = "verify",
		.action = "verify",
		.authorized_by = "door",
		.roles = NX_ROLE_SCP,
		.finish = nx_echo_finish,
	},
	{
		.field = NX_C_STORE_RQ,
		.name = "C-STORE",
		.match = nx_store_match,
		.permission = "store",
		.action = "instance.store",
		.authorized_by = "ingest",
		.roles = NX_ROLE_SCP | NX_ROLE_SCU,
		.dataset = true,
		.begin = nx_store_begin,
		.data = nx_store_data,
		.end = nx_store_end,
		.finish = nx_store_finish,
		.drop = nx_store_drop,
		/* PS3.4 B.3.1: level 2 (full), bit preserving for signatures, nothing coerced. */
		.extended = {2, 0, 3, 0},
		.n_extended = 4,
	},
	{
		.field = NX_C_FIND_RQ,
		.name = "C-FIND",
		.match = nx_find_match,
		.permission = "query",
		.action = "query",
		.authorized_by = "retrieve",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.ts = nx_identifier_ts,
		.extended = {1, 1, 1}, /* PS3.4 C.5.1.1: relational, date and time, fuzzy */
		.n_extended = 3,
		.extended_flags = true,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_find_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_C_FIND_RQ,
		.name = "C-FIND worklist",
		.match = nx_worklist_match,
		.permission = "worklist",
		.action = "query",
		.authorized_by = "retrieve",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.ts = nx_identifier_ts,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_worklist_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_C_GET_RQ,
		.name = "C-GET",
		.match = nx_get_match,
		.permission = "read",
		.action = "read",
		.authorized_by = "retrieve",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.ts = nx_identifier_ts,
		.extended = {1}, /* PS3.4 C.5.3.1: relational */
		.n_extended = 1,
		.extended_flags = true,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_get_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_C_MOVE_RQ,
		.name = "C-MOVE",
		.match = nx_move_match,
		.permission = "read",
		.action = "read",
		.authorized_by = "retrieve",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.ts = nx_identifier_ts,
		.extended = {1}, /* PS3.4 C.5.2.1: relational */
		.n_extended = 1,
		.extended_flags = true,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_move_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_N_ACTION_RQ,
		.name = "N-ACTION",
		.match = nx_commit_match,
		.permission = "store",
		.action = "commitment",
		.authorized_by = "retrieve",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.ts = nx_identifier_ts,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_commit_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_N_EVENT_REPORT_RQ,
		.name = "N-EVENT-REPORT",
		.match = nx_commit_match,
		.permission = "store",
		.action = "commitment",
		.authorized_by = "door",
		.roles = NX_ROLE_SCU,
		.dataset = true,
		.ts = nx_identifier_ts,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_commit_event_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_N_CREATE_RQ,
		.name = "N-CREATE",
		.match = nx_step_match,
		.permission = "worklist",
		.action = "step.create",
		.authorized_by = "ingest",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.dataset_max = NX_LIMIT_PERFORMED_STEP,
		.ts = nx_identifier_ts,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_step_finish,
		.drop = nx_identifier_drop,
	},
	{
		.field = NX_N_SET_RQ,
		.name = "N-SET",
		.match = nx_step_match,
		.permission = "worklist",
		.action = "step.set",
		.authorized_by = "ingest",
		.roles = NX_ROLE_SCP,
		.dataset = true,
		.dataset_max = NX_LIMIT_PERFORMED_STEP,
		.ts = nx_identifier_ts,
		.begin = nx_identifier_begin,
		.data = nx_identifier_data,
		.finish = nx_step_finish,
		.drop = nx_identifier_drop,
	},
	{0},
};

const struct nx_dimse_service *nx_service_find(uint16_t field, const char *sop_class)
{
	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		if (s->field == field && s->match(sop_class))
			return s;
	}
	return NULL;
}

bool nx_service_has_field(uint16_t field)
{
	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		if (s->field == field)
			return true;
	}
	return false;
}

unsigned nx_service_roles(const char *sop_class)
{
	unsigned roles = 0;

	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		if (s->match(sop_class))
			roles |= s->roles;
	}
	return roles;
}

const struct nx_dimse_service *nx_service_extended(const char *sop_class)
{
	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		if (s->n_extended && s->match(sop_class))
			return s;
	}
	return NULL;
}

bool nx_service_takes(const char *sop_class, const char *ts_uid)
{
	for (const struct nx_dimse_service *s = nx_dimse_services; s->name; s++) {
		if (s->match(sop_class) && (!s->ts || s->ts(ts_uid)))
			return true;
	}
	return false;
}

bool nx_dimse_service_at(size_t i, struct nx_dimse_service_info *ret)
{
	const struct nx_dimse_service *s = &nx_dimse_services[i];

	if (!s->name)
		return false;
	*ret = (struct nx_dimse_service_info){.name = s->name,
		.permission = s->permission,
		.scp = s->roles & NX_ROLE_SCP,
		.scu = s->roles & NX_ROLE_SCU,
		.extended = s->n_extended > 0};
	return true;
}

bool nx_dimse_service_takes(size_t i, const char *sop_class, const char *ts_uid)
{
	const struct nx_dimse_service *s = &nx_dimse_services[i];

	return s->match(sop_class) && (!ts_uid || !s->ts || s->ts(ts_uid));
}
