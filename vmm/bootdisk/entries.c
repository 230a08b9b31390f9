// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/entries.h"

#include <stdlib.h>
#include <string.h>

#define MENUS_MAX 8 /* the menu, and submenus within each other */

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

/* A menuentry or a submenu of grub.cfg. */
struct item {
	struct word title, id;
	bool submenu;
};

/* The way through the menus to the one that is wanted. */
struct way {
	const char *wanted;
	unsigned int number[MENUS_MAX]; /* of the next item, in each open menu */
	unsigned int depth;		/* open submenus */
	unsigned int found;		/* submenus on the way, from the outermost */
	unsigned int bodies;		/* open braces of all else */
};

/* Returns true if @line, whose first word was @key, begins an item of a menu. */
static bool item_begins(const struct word *key, struct text line, struct item *item)
{
	struct word word;

	*item = (struct item){.submenu = word_is(key, "submenu")};
	if (!item->submenu && !word_is(key, "menuentry"))
		return false;
	next_word(&line, &item->title);
	while (next_word(&line, &word))
		if (word_is(&word, "--id") || word_is(&word, "$menuentry_id_option"))
			next_word(&line, &item->id);
	return true;
}

static bool opens_brace(struct text line)
{
	struct word word = {0};

	while (next_word(&line, &word))
		;
	return word_is(&word, "{");
}

/*
 * Copies the part @depth of @wanted: "a>b" is b in the submenu a, and ">>" stands for one ">". A
 * submenu alone stands for its first item.
 */
static void part_of(const char *wanted, unsigned int depth, char part[ENTRY_FILES_SIZE])
{
	size_t len = 0;

	for (; *wanted; wanted++) {
		bool end = wanted[0] == '>' && wanted[1] != '>';
		if (end && depth-- == 0)
			break;
		wanted += wanted[0] == '>' && !end;
		if (!end && depth == 0)
			part[len++] = *wanted;
	}
	if (len == 0)
		part[len++] = '0';
	part[len] = '\0';
}

/* Counts @item. Returns true if it is the next on the way. */
static bool way_meets(struct way *way, const struct item *item)
{
	unsigned int number = way->number[way->depth]++;
	char part[ENTRY_FILES_SIZE];

	if (way->found != way->depth)
		return false;
	part_of(way->wanted, way->depth, part);
	if (part[strspn(part, "0123456789")] == '\0')
		return strtoul(part, NULL, 10) == number;
	return word_is(&item->title, part) || word_is(&item->id, part);
}

/* Moves @text behind the first line of the menuentry @wanted. Returns false if there is none. */
static bool find_item(struct text *text, const char *wanted)
{
	struct way way = {.wanted = wanted};
	struct text line;
	struct word key;
	struct item item;

	while (next_line(text, &line)) {
		if (!next_word(&line, &key) || key.text[0] == '#')
			continue;
		if (word_is(&key, "}")) {
			if (way.bodies > 0)
				way.bodies--;
			else if (way.depth > 0)
				way.depth--;
		} else if (way.bodies > 0 || !item_begins(&key, line, &item)) {
			way.bodies += opens_brace(line);
		} else {
			bool met = way_meets(&way, &item);
			if (!item.submenu && met)
				return true;
			if (!item.submenu) {
				way.bodies++;
				continue;
			}
			if (++way.depth == MENUS_MAX)
				return false;
			way.number[way.depth] = 0;
			way.found += met;
		}
	}
	return false;
}

/* Reads the body of a menuentry. Returns false if it does not fit. */
static bool read_body(struct text *text, struct boot_entry *entry)
{
	struct text line;
	struct word key;

	memset(entry, 0, sizeof(*entry));
	while (next_line(text, &line)) {
		bool good = true;
		if (!next_word(&line, &key) || key.text[0] == '#')
			continue;
		if (word_is(&key, "}"))
			break;
		if (word_is(&key, "linux") || word_is(&key, "linux16") || word_is(&key, "linuxefi"))
			good = set_kernel(&line, entry) && add_params(&line, entry);
		else if (word_is(&key, "initrd") || word_is(&key, "initrd16") ||
			 word_is(&key, "initrdefi"))
			good = add_initrds(&line, entry);
		if (!good)
			return false;
	}
	return true;
}

/*
 * Finds the default in the whole of @text: the last "set default=", but for those that a variable
 * fills in, of which only that of the saved entry is known.
 */
static void find_default(struct text text, const char *saved, char wanted[ENTRY_FILES_SIZE])
{
	static const char name[] = "default=";
	struct text line;
	struct word word;

	wanted[0] = '\0';
	while (next_line(&text, &line)) {
		if (!next_word(&line, &word) || (word_is(&word, "set") && !next_word(&line, &word)))
			continue;
		if (!word.fits || strncmp(word.text, name, sizeof(name) - 1) != 0)
			continue;
		const char *value = word.text + sizeof(name) - 1;
		if (strcmp(value, "${saved_entry}") == 0 || strcmp(value, "$saved_entry") == 0)
			value = saved;
		else if (word.variable)
			continue;
		memcpy(wanted, value, strlen(value) + 1); /* a word fits */
	}
}

bool entry_from_grub(const char *text, size_t len, const char *saved, struct boot_entry *entry)
{
	const struct text all = {text, text + len};
	struct text left = all, line;
	char wanted[ENTRY_FILES_SIZE];
	struct word key;

	memset(entry, 0, sizeof(*entry));
	find_default(all, saved, wanted);
	if (find_item(&left, wanted)) {
		if (!read_body(&left, entry))
			return false;
		if (entry->kernel[0])
			return true;
	}
	left = all;
	while (next_line(&left, &line)) {
		if (!next_word(&line, &key) || !word_is(&key, "menuentry"))
			continue;
		if (!read_body(&left, entry))
			return false;
		if (entry->kernel[0])
			return true;
	}
	return false;
}

void entry_saved(const char *text, size_t len, char saved[ENTRY_FILES_SIZE])
{
	static const char name[] = "saved_entry=";
	struct text left = {text, text + len}, line;

	saved[0] = '\0';
	while (next_line(&left, &line)) {
		size_t size = (size_t)(line.end - line.at);
		if (size < sizeof(name) || size - sizeof(name) + 1 >= ENTRY_FILES_SIZE ||
		    memcmp(line.at, name, sizeof(name) - 1) != 0)
			continue;
		size -= sizeof(name) - 1;
		memcpy(saved, line.at + sizeof(name) - 1, size);
		saved[size] = '\0';
	}
}
