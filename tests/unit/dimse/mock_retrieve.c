#include "mock_retrieve.h"

#include <stdio.h>
#include <string.h>

struct nx_retrieve {
	struct mock_retrieve mock;
};

struct nx_retrieve *mock_retrieve(struct mock_retrieve *mock)
{
	return (struct nx_retrieve *)mock;
}

/* Patient's name and id at every level, UIDs at their own and below. */
bool nx_retrieve_find_knows(unsigned level, uint32_t tag)
{
	static const uint32_t uids[] = {0x00100020, 0x0020000d, 0x0020000e, 0x00080018};

	for (unsigned i = 0; i <= level && i < NX_ARRAY_LEN(uids); i++)
		if (uids[i] == tag)
			return true;
	return tag == 0x00100010;
}

bool nx_retrieve_find_gives(unsigned level, uint32_t tag)
{
	return nx_retrieve_find_knows(level, tag);
}

static void remember(
	struct mock_retrieve *m, const struct nx_find *find, const struct nx_find_form *form)
{
	m->finds++;
	m->level = find->level;
	m->fuzzy = find->fuzzy;
	m->datetime = find->datetime;
	m->n_keys = find->n_keys;
	for (size_t i = 0; i < find->n_keys; i++) {
		m->key_tags[i] = find->keys[i].tag;
		if (i < NX_ARRAY_LEN(m->key_values))
			(void)snprintf(m->key_values[i], sizeof(m->key_values[i]), "%s",
				find->keys[i].value);
	}
	m->n_wants = form->n_wants;
	(void)snprintf(m->charset, sizeof(m->charset), "%s", form->charset);
	(void)snprintf(m->retrieve_ae, sizeof(m->retrieve_ae), "%s", form->retrieve_ae);
}

nx_rc nx_retrieve_find_dicom(struct nx_retrieve *retrieve, const struct nx_principal *who,
	const struct nx_find *find, const struct nx_find_form *form,
	nx_rc (*fn)(void *payload, struct nx_slice identifier, struct nx_err *err), void *payload,
	bool *ret_more, struct nx_err *err)
{
	static const uint8_t identifier[65536] = {0x08, 0, 0x52, 0, 0, 0, 0, 0};
	struct mock_retrieve *m = &retrieve->mock;
	nx_rc rc = NX_OK;

	(void)who;
	remember(m, find, form);
	for (unsigned i = 0; i < m->matches && !rc; i++)
		rc = fn(payload, nx_slice(identifier, m->match_len ? m->match_len : 8), err);
	if (!rc && m->fail_find)
		rc = nx_err_set(err, m->fail_find, "find fails");
	*ret_more = m->more;
	return rc;
}
