#include "mock_forward.h"

#include <stdio.h>

struct nx_forward {
	struct mock_forward mock;
};

struct nx_forward *mock_forward(struct mock_forward *mock)
{
	return (struct nx_forward *)mock;
}

nx_rc nx_forward_report(
	struct nx_forward *forward, const struct nx_forward_report *report, struct nx_err *err)
{
	struct mock_forward *m = &forward->mock;

	if (m->fail)
		return nx_err_set(err, m->fail, "the queue fails");
	m->reports++;
	m->event_type = report->event_type;
	(void)snprintf(m->destination, sizeof(m->destination), "%s", report->destination);
	return NX_OK;
}

nx_rc nx_forward_answered(
	struct nx_forward *forward, const struct nx_forward_answer *answer, struct nx_err *err)
{
	struct mock_forward *m = &forward->mock;

	if (m->fail)
		return nx_err_set(err, m->fail, "the queue fails");
	m->answers++;
	m->refs = answer->n;
	m->reasons = 0;
	for (size_t i = 0; i < answer->n; i++)
		m->reasons |= answer->refs[i].reason;
	(void)snprintf(m->destination, sizeof(m->destination), "%s", answer->destination);
	(void)snprintf(m->txn, sizeof(m->txn), "%.*s", (int)NX_LIMIT_UID, answer->txn);
	return NX_OK;
}
