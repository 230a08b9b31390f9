// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/option_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Copies the part at @text, with each doubled comma as one. Returns a pointer to the comma or
 * terminator that follows it, or NULL if @part is too small.
 */
static const char *copy_part(const char *text, char part[OPTION_PART_SIZE])
{
	size_t len = 0;
	for (; *text && (*text != ',' || text[1] == ','); text++) {
		if (len == OPTION_PART_SIZE - 1)
			return NULL;
		text += *text == ',';
		part[len++] = *text;
	}
	part[len] = '\0';
	return text;
}

static const char *key_name(const void *ctx, size_t i)
{
	return ((const struct option_keys *)ctx)->key[i].name;
}

static size_t listed(const struct option_keys *keys)
{
	size_t n = keys->keys;
	while (n && keys->key[n - 1].id & OPTION_UNLISTED)
		n--;
	return n;
}

/* "ro, format=raw" */
static void list_keys(const struct option_keys *keys, char *list, size_t size)
{
	size_t used = 0;
	list[0] = '\0';
	for (size_t i = 0; i < listed(keys) && used < size; i++)
		used += snprintf(list + used, size - used, "%s%s%s%s", i ? ", " : "",
				 keys->key[i].name, keys->key[i].value ? "=" : "",
				 keys->key[i].value ? keys->key[i].value : "");
}

static int fail_unknown(const struct option_keys *keys, const char *text, const char *name,
			size_t len, struct option_error *error)
{
	char list[256];
	int nearest = options_nearest(name, len, key_name, keys, listed(keys));

	list_keys(keys, list, sizeof(list));
	if (nearest >= 0)
		return options_fail(
			error,
			"unknown key \"%.*s\" of the %s; did you mean %s? The keys are %s: \"%s\"",
			(int)len, name, keys->what, keys->key[nearest].name, list, text);
	return options_fail(
		error,
		"unknown key \"%.*s\" of the %s; the keys are %s; a comma in a name is written twice: \"%s\"",
		(int)len, name, keys->what, list, text);
}

static const struct option_key *find_key(const struct option_keys *keys, const char *name,
					 size_t len)
{
	for (size_t i = 0; i < keys->keys; i++)
		if (strlen(keys->key[i].name) == len && memcmp(keys->key[i].name, name, len) == 0)
			return &keys->key[i];
	return NULL;
}

/* Returns the key that @part names, with *@value (or NULL) set; or NULL with @error set. */
static const struct option_key *parse_key(const struct option_keys *keys, const char *text,
					  const char *part, const char **value,
					  struct option_error *error)
{
	size_t len = strcspn(part, "=");
	const struct option_key *key = find_key(keys, part, len);

	*value = part[len] ? part + len + 1 : NULL;
	if (!key) {
		fail_unknown(keys, text, part, len, error);
	} else if (!key->value && *value) {
		options_fail(error, "\"%s\" of the %s takes no value; write %s", key->name,
			     keys->what, key->name);
		key = NULL;
	} else if (key->value && !*value) {
		options_fail(error, "\"%s\" of the %s needs a value; write %s=%s", key->name,
			     keys->what, key->name, key->value);
		key = NULL;
	}
	return key;
}

int option_keys_parse(const struct option_keys *keys, const char *text, option_apply *apply,
		      void *ctx, struct option_error *error)
{
	char part[OPTION_PART_SIZE];
	const char *value, *next = text;
	unsigned int seen = 0;
	int err = 0;

	for (bool first = true; !err; first = false) {
		next = copy_part(next, part);
		if (!next)
			return options_fail(error,
					    "a part of the %s's value is too long; write %d bytes "
					    "or less",
					    keys->what, OPTION_PART_SIZE - 1);
		if (first && keys->word) {
			err = apply(ctx, OPTION_WORD, part, error);
		} else {
			const struct option_key *key = parse_key(keys, text, part, &value, error);
			if (!key)
				return -EINVAL;
			int id = key->id & ~OPTION_UNLISTED;
			if ((seen & 1U << id) && !key->again)
				return options_fail(error,
						    "\"%s\" of the %s is given twice; give it once",
						    key->name, keys->what);
			seen |= 1U << id;
			err = apply(ctx, id, value, error);
		}
		if (!*next++)
			break;
	}
	return err;
}
