// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/entries.h"

#include <string.h>

/* The rest of the text. */
struct text {
	const char *at, *end;
};

/* A word without its quotes. */
struct word {
	char text[ENTRY_FILES_SIZE];
	size_t len;
	bool variable; /* it has a variable of GRUB or of a shell */
	bool fits;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next line off @text. Returns false if there is none. */
static bool next_line(struct text *text, struct text *line)
{
	if (text->at == text->end)
		return false;
	const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
	*line = (struct text){text->at, end ? end : text->end};
	text->at = end ? end + 1 : text->end;
	return true;
}

static void word_add(struct word *word, char c)
{
	/* Control characters have no place in a file's name or a parameter. */
	if ((unsigned char)c < ' ' || c == 0x7f || word->len == sizeof(word->text) - 1)
		word->fits = false;
	else
		word->text[word->len++] = c;
}

/* Takes the next word off @line, as GRUB and a shell quote it. Returns false if there is none. */
static bool next_word(struct text *line, struct word *word)
{
	char quote = 0;

	*word = (struct word){.fits = true};
	while (line->at < line->end && is_blank(*line->at))
		line->at++;
	if (line->at == line->end)
		return false;
	for (; line->at < line->end && (quote || !is_blank(*line->at)); line->at++) {
		char c = *line->at;
		if (quote && c == quote)
			quote = 0;
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (c == '\\' && quote != '\'' && line->at + 1 < line->end)
			word_add(word, *++line->at);
		else {
			word->variable |= c == '$' && quote != '\'';
			word_add(word, c);
		}
	}
	word->text[word->len] = '\0';
	return true;
}

static bool word_is(const struct word *word, const char *name)
{
	return word->fits && strcmp(word->text, name) == 0;
}

/* Returns the file of @word, without GRUB's "($root)" before it. */
static const char *file_of(const struct word *word)
{
	const char *end = word->text[0] == '(' ? strchr(word->text, ')') : NULL;
	return end ? end + 1 : word->text;
}

static bool set_kernel(struct text *line, struct boot_entry *entry)
{
	struct word word;
	if (!next_word(line, &word) || !word.fits)
		return false;
	const char *file = file_of(&word);
	memcpy(entry->kernel, file, strlen(file) + 1); /* a word fits */
	return *file != '\0';
}

static bool add_initrds(struct text *line, struct boot_entry *entry)
{
	struct word word;
	size_t used = 0;

	while (entry->initrds[used])
		used += strlen(entry->initrds + used) + 1;
	while (next_word(line, &word)) {
		const char *file = file_of(&word);
		size_t len = strlen(file);
		/* Fedora's entries have a variable that only its own boot loader knows. */
		if (len == 0 || strchr(file, '$'))
			continue;
		if (!word.fits || used + len + 2 > sizeof(entry->initrds))
			return false;
		memcpy(entry->initrds + used, file, len + 1);
		used += len + 1;
		entry->initrds[used] = '\0';
	}
	return true;
}

static bool add_params(struct text *line, struct boot_entry *entry)
{
	struct word word;
	size_t used = strlen(entry->params);

	while (next_word(line, &word)) {
		if (word.variable || word.len == 0)
			continue;
		/* A parameter with blanks needs its quotes again. */
		bool quote = strpbrk(word.text, " \t") != NULL;
		size_t len = word.len + (used > 0) + 2 * quote;
		if (!word.fits || used + len >= sizeof(entry->params))
			return false;
		if (used > 0)
			entry->params[used++] = ' ';
		if (quote)
			entry->params[used++] = '"';
		memcpy(entry->params + used, word.text, word.len);
		used += word.len;
		if (quote)
			entry->params[used++] = '"';
		entry->params[used] = '\0';
	}
	return true;
}

bool entry_from_bls(const char *text, size_t len, struct boot_entry *entry)
{
	struct text left = {text, text + len}, line;
	struct word key;

	memset(entry, 0, sizeof(*entry));
	while (next_line(&left, &line)) {
		bool good = true;
		if (!next_word(&line, &key) || key.text[0] == '#')
			continue;
		if (word_is(&key, "linux"))
			good = set_kernel(&line, entry);
		else if (word_is(&key, "initrd"))
			good = add_initrds(&line, entry);
		else if (word_is(&key, "options"))
			good = add_params(&line, entry);
		if (!good)
			return false;
	}
	return entry->kernel[0] != '\0';
}

bool entry_from_grub(const char *text, size_t len, struct boot_entry *entry)
{
	struct text left = {text, text + len}, line;
	struct word key;
	bool within = false;

	memset(entry, 0, sizeof(*entry));
	while (next_line(&left, &line)) {
		bool good = true;
		if (!next_word(&line, &key) || key.text[0] == '#')
			continue;
		if (word_is(&key, "menuentry") && entry->kernel[0])
			break;
		within |= word_is(&key, "menuentry");
		if (!within)
			continue;
		if (word_is(&key, "linux") || word_is(&key, "linux16") || word_is(&key, "linuxefi"))
			good = set_kernel(&line, entry) && add_params(&line, entry);
		else if (word_is(&key, "initrd") || word_is(&key, "initrd16") ||
			 word_is(&key, "initrdefi"))
			good = add_initrds(&line, entry);
		if (!good)
			return false;
	}
	return entry->kernel[0] != '\0';
}
