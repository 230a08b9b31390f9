// SPDX-License-Identifier: Apache-2.0
#define NCURSES_NOMACROS
#include "vmm/top/screen.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/text.h"

#define ESCAPE_MS 25 /* within which a key's sequence comes whole */

struct screen {
	SCREEN *term;
};

static int say_unknown(void)
{
	char text[TEXT_MAX];
	const char *term = getenv("TERM");
	log_error(
		"the terminal \"%s\" is not known here: set TERM to one that is, or add --once or --batch",
		text_escape(text, sizeof(text), term ? term : "", false));
	return -ENODEV;
}

int screen_open(struct screen **screen)
{
	struct screen *made = calloc(1, sizeof(*made));
	*screen = NULL;
	if (!made) {
		log_error("out of memory");
		return -ENOMEM;
	}
	setlocale(LC_CTYPE, "");
	made->term = newterm(NULL, stdout, stdin);
	if (!made->term) {
		free(made);
		return say_unknown();
	}
	*screen = made;
	set_escdelay(ESCAPE_MS);
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	leaveok(stdscr, TRUE);
	curs_set(0);
	return 0;
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen->term);
	free(screen);
}

bool screen_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void screen_size(struct screen *screen, size_t *width, size_t *height)
{
	struct winsize size;
	int lines = getmaxy(stdscr), columns = getmaxx(stdscr);
	(void)screen;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col &&
	    (size.ws_row != lines || size.ws_col != columns) &&
	    resizeterm(size.ws_row, size.ws_col) == OK)
		clearok(curscr, TRUE);
	lines = getmaxy(stdscr);
	columns = getmaxx(stdscr);
	*width = columns > 0 ? (size_t)columns : 1;
	*height = lines > 0 ? (size_t)lines : 1;
}

void screen_begin(struct screen *screen)
{
	(void)screen;
	werase(stdscr);
}

void screen_line(void *ctx, size_t row, enum top_style style, const char *text)
{
	static const attr_t attribute[] = {
		[TOP_PLAIN] = A_NORMAL,
		[TOP_HEAD] = A_BOLD | A_UNDERLINE,
		[TOP_SELECTED] = A_REVERSE,
		[TOP_FAINT] = A_DIM,
	};
	(void)ctx;
	wattrset(stdscr, (int)attribute[style]);
	mvwaddstr(stdscr, (int)row, 0, text);
	wattrset(stdscr, A_NORMAL);
}

void screen_end(struct screen *screen)
{
	(void)screen;
	wrefresh(stdscr);
}

int screen_key(struct screen *screen)
{
	static const struct {
		int theirs, ours;
	} keys[] = {
		{KEY_UP, TOP_KEY_UP},
		{KEY_DOWN, TOP_KEY_DOWN},
		{KEY_PPAGE, TOP_KEY_PAGE_UP},
		{KEY_NPAGE, TOP_KEY_PAGE_DOWN},
		{KEY_HOME, TOP_KEY_HOME},
		{KEY_END, TOP_KEY_END},
		{KEY_LEFT, TOP_KEY_LEFT},
		{KEY_RIGHT, TOP_KEY_RIGHT},
		{KEY_ENTER, TOP_KEY_ENTER},
		{'\r', TOP_KEY_ENTER},
		{'\n', TOP_KEY_ENTER},
		{27, TOP_KEY_ESCAPE},
		{KEY_BACKSPACE, TOP_KEY_BACKSPACE},
		{'\b', TOP_KEY_BACKSPACE},
		{0x7f, TOP_KEY_BACKSPACE},
	};
	(void)screen;
	int key = wgetch(stdscr);
	if (key == ERR)
		return -1;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].theirs == key)
			return keys[i].ours;
	return key >= ' ' && key < 0x7f ? key : TOP_KEY_NONE;
}
