#include "dicom/value.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

enum {
	VALUE_MAX = 4 * 64 /* bytes of one value that has a form */
};

#define DAY    "(0[1-9]|[12][0-9]|3[01])"
#define MONTH  "(0[1-9]|1[0-2])"
#define HOUR   "([01][0-9]|2[0-3])"
#define MINUTE "[0-5][0-9]"
#define SECOND "([0-5][0-9]|60)(\\.[0-9]{1,6})?"

/* PS3.5 6.2.  `max` counts characters of one value, 0 none; `form`: an extended regular expression
 * for the whole of it, NULL: any but control characters. */
static const struct {
	uint16_t vr;
	unsigned max;
	const char *form;
	bool lines; /* text: one value, with line breaks */
} vrs[] = {
	{NX_VR('A', 'E'), 16, NULL, false},
	{NX_VR('A', 'S'), 4, "^[0-9]{3}[DWMY]$", false},
	{NX_VR('C', 'S'), 16, "^[A-Z0-9_ ]+$", false},
	{NX_VR('D', 'A'), 8, "^[0-9]{4}" MONTH DAY "$", false},
	{NX_VR('D', 'S'), 16, "^[+-]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][+-]?[0-9]+)?$", false},
	{NX_VR('D', 'T'), 26,
		"^[0-9]{4}(" MONTH "(" DAY "(" HOUR "(" MINUTE "(" SECOND
		")?)?)?)?)?([+-][0-9]{4})?$",
		false},
	{NX_VR('I', 'S'), 12, "^[+-]?[0-9]+$", false},
	{NX_VR('L', 'O'), 64, NULL, false},
	{NX_VR('L', 'T'), 10240, NULL, true},
	{NX_VR('P', 'N'), 3 * 64 + 2, NULL, false},
	{NX_VR('S', 'H'), 16, NULL, false},
	{NX_VR('S', 'T'), 1024, NULL, true},
	{NX_VR('T', 'M'), 14, "^" HOUR "(" MINUTE "(" SECOND ")?)?$", false},
	{NX_VR('U', 'C'), 10240, NULL, false},
	{NX_VR('U', 'I'), 64, "^(0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*))*$", false},
	{NX_VR('U', 'T'), 10240, NULL, true},
};

static nx_rc tag_err(struct nx_err *err, nx_tag tag, const char *what)
{
	return nx_err_set(err, NX_E_INVAL, "(%04x,%04x) %s", tag >> 16, tag & 0xffff, what);
}

size_t nx_value_chars(const char *s, size_t n, bool lines)
{
	size_t chars = 0;

	for (size_t i = 0; i < n; i++) {
		const uint8_t c = (uint8_t)s[i], next = i + 1 < n ? (uint8_t)s[i + 1] : 0;
		const bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0);

		if (control && !(lines && strchr("\t\n\f\r", c)))
			return SIZE_MAX;
		chars += (c & 0xc0) != 0x80;
	}
	return chars;
}

/* No value is of any form. */
static nx_rc form_check(
	const char *form, nx_tag tag, const char *value, size_t n, struct nx_err *err)
{
	char one[VALUE_MAX + 1];
	regex_t re;
	int rc;

	if (!form || !n)
		return NX_OK;
	if (regcomp(&re, form, REG_EXTENDED | REG_NOSUB))
		return nx_err_set(err, NX_E_NOMEM, "no memory for the form of a value");
	(void)snprintf(one, sizeof(one), "%.*s", (int)n, value);
	rc = regexec(&re, one, 0, NULL, 0);
	regfree(&re);
	return rc ? tag_err(err, tag, "cannot have this value") : NX_OK;
}

nx_rc nx_value_check(nx_tag tag, const char *value, struct nx_err *err)
{
	const struct nx_dict_entry *entry = nx_dict_find(tag);
	const bool many = entry && strcmp(entry->vm, "1") != 0;
	size_t i = 0;
	nx_rc rc;

	if (!entry)
		return tag_err(err, tag, "is no attribute of the standard");
	while (i < NX_ARRAY_LEN(vrs) && vrs[i].vr != entry->vr)
		i++;
	if (i == NX_ARRAY_LEN(vrs))
		return tag_err(err, tag, "has no text value");
	/* Spaces around it do not count (PS3.5 6.2), and would make it another in rows and names.
	 */
	if (value[0] == ' ' || (value[0] && value[strlen(value) - 1] == ' '))
		return tag_err(err, tag, "has spaces around its value");
	if (!many && !vrs[i].lines && strchr(value, '\\'))
		return tag_err(err, tag, "has one value only");
	for (;;) {
		size_t n = vrs[i].lines ? strlen(value) : strcspn(value, "\\");

		if (nx_value_chars(value, n, vrs[i].lines) > vrs[i].max)
			return tag_err(err, tag, "cannot have this value");
		rc = form_check(vrs[i].form, tag, value, n, err);
		if (rc || !value[n])
			return rc;
		value += n + 1;
	}
}
