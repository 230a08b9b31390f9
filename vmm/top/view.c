// SPDX-License-Identifier: Apache-2.0
#include "vmm/top/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmm/lib/text.h"
#include "vmm/top/columns.h"

struct top_view top_view_start(void)
{
	return (struct top_view){.sort = TOP_HELD};
}

int top_column_named(const char *name, struct option_error *error)
{
	char titles[TEXT_MAX] = "";
	for (int i = 0; i < TOP_COLUMNS; i++)
		if (strcasecmp(name, top_columns[i].title) == 0)
			return i;
	for (size_t i = 0, used = 0; i < TOP_COLUMNS; i++)
		used += (size_t)snprintf(titles + used, sizeof(titles) - used, "%s%s",
					 i ? ", " : "", top_columns[i].title);
	options_fail(error, "no column is called \"%s\": there are %s", name, titles);
	return -1;
}

/* --- the order ------------------------------------------------------------------------------- */

static bool passes(const struct top_view *view, const struct top_figures *guest)
{
	return strcasestr(guest->shown, view->filter);
}

/* Large figures first, unknown ones last. */
static int compare(const void *a, const void *b, void *ctx)
{
	const struct top_view *view = ctx;
	const struct top_figures *one = *(struct top_figures *const *)a;
	const struct top_figures *other = *(struct top_figures *const *)b;
	int order = (int)passes(view, other) - (int)passes(view, one);
	if (order)
		return order;
	if (top_columns[view->sort].format == TOP_TEXT) {
		order = strcmp(top_text(one, view->sort), top_text(other, view->sort));
	} else {
		uint64_t x = top_figure(one, view->sort), y = top_figure(other, view->sort);
		if ((x == TOP_UNKNOWN) != (y == TOP_UNKNOWN))
			return x == TOP_UNKNOWN ? 1 : -1;
		order = x < y ? 1 : x > y ? -1 : 0;
	}
	if (order)
		return view->reverse ? -order : order;
	return strcmp(one->name, other->name);
}

size_t top_arrange(const struct top_view *view, struct top_figures **guest, size_t count)
{
	size_t shown = 0;
	if (count)
		qsort_r(guest, count, sizeof(guest[0]), compare, (void *)view);
	while (shown < count && passes(view, guest[shown]))
		shown++;
	return shown;
}

/* --- keys ------------------------------------------------------------------------------------ */

size_t top_selected(const struct top_view *view, struct top_figures *const *guest, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(guest[i]->name, view->selected) == 0)
			return i;
	return 0;
}

static void move(struct top_view *view, int key, struct top_figures *const *guest, size_t count)
{
	size_t page = view->page ? view->page : 1;
	size_t at = top_selected(view, guest, count);
	if (count == 0)
		return;
	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		at = at ? at - 1 : 0;
		break;
	case TOP_KEY_DOWN:
	case 'j':
		at++;
		break;
	case TOP_KEY_PAGE_UP:
		at = at > page ? at - page : 0;
		break;
	case TOP_KEY_PAGE_DOWN:
		at += page;
		break;
	case TOP_KEY_HOME:
	case 'g':
		at = 0;
		break;
	case TOP_KEY_END:
	case 'G':
		at = count - 1;
		break;
	default:
		return;
	}
	at = at < count ? at : count - 1;
	snprintf(view->selected, sizeof(view->selected), "%s", guest[at]->name);
}

static void type(struct top_view *view, int key)
{
	size_t len = strlen(view->filter);
	if (key == TOP_KEY_ENTER || key == TOP_KEY_ESCAPE)
		view->typing = false;
	if (key == TOP_KEY_ESCAPE)
		view->filter[0] = '\0';
	if (key == TOP_KEY_BACKSPACE && len)
		view->filter[len - 1] = '\0';
	if (key >= ' ' && key < 0x7f && len + 1 < sizeof(view->filter)) {
		view->filter[len] = (char)key;
		view->filter[len + 1] = '\0';
	}
}

enum top_outcome top_key(struct top_view *view, int key, struct top_figures *const *guest,
			 size_t count)
{
	if (view->typing) {
		type(view, key);
		return TOP_GO_ON;
	}
	switch (key) {
	case 'q':
		if (!view->detail)
			return TOP_QUIT;
		view->detail = false;
		break;
	case TOP_KEY_ESCAPE:
		if (!view->detail)
			view->filter[0] = '\0';
		view->detail = false;
		break;
	case TOP_KEY_ENTER:
		view->detail = count && !view->detail;
		if (view->detail)
			snprintf(view->selected, sizeof(view->selected), "%s",
				 guest[top_selected(view, guest, count)]->name);
		break;
	case '/':
		view->typing = !view->detail;
		break;
	case ' ':
	case 'p':
		view->paused = !view->paused;
		break;
	case 'r':
		view->reverse = !view->reverse;
		break;
	case '<':
	case TOP_KEY_LEFT:
		view->sort = (view->sort + TOP_COLUMNS - 1) % TOP_COLUMNS;
		break;
	case '>':
	case TOP_KEY_RIGHT:
		view->sort = (view->sort + 1) % TOP_COLUMNS;
		break;
	default:
		move(view, key, guest, count);
	}
	return TOP_GO_ON;
}
