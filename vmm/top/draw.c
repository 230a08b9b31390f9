// SPDX-License-Identifier: Apache-2.0
/* The lines of a view. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/top/columns.h"

/* --- lines ----------------------------------------------------------------------------------- */

struct out {
	size_t width;
	bool fill;	  /* whole lines of a screen */
	size_t row, rows; /* the next one; how many there are */
	top_line *line;
	void *ctx;
	char text[TOP_LINE_SIZE];
	size_t bytes, columns;
};

/* Adds what fits of UTF-8 whose characters take one column each. */
static void put(struct out *out, const char *text)
{
	for (; *text; text++) {
		bool begins = (*text & 0xc0) != 0x80;
		if ((begins && out->columns == out->width) || out->bytes + 1 >= sizeof(out->text))
			break;
		out->columns += begins;
		out->text[out->bytes++] = *text;
	}
	out->text[out->bytes] = '\0';
}

static void put_blanks(struct out *out, size_t count)
{
	for (; count; count--)
		put(out, " ");
}

/* Adds @text in @width columns, cut or filled. */
static void put_field(struct out *out, const char *text, size_t width, bool right)
{
	size_t len = strlen(text);
	char cut[TOP_CELL_SIZE];
	put_blanks(out, right && len < width ? width - len : 0);
	snprintf(cut, sizeof(cut), "%.*s", (int)width, text);
	put(out, cut);
	put_blanks(out, !right && len < width ? width - len : 0);
}

static void end(struct out *out, enum top_style style)
{
	/* A style shows on blanks, too. */
	if (out->fill && (style == TOP_HEAD || style == TOP_SELECTED))
		put_blanks(out, out->width - out->columns);
	else
		while (out->bytes && out->text[out->bytes - 1] == ' ')
			out->text[--out->bytes] = '\0';
	if (out->row < out->rows)
		out->line(out->ctx, out->row++, style, out->text);
	out->bytes = out->columns = 0;
	out->text[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static void put_words(struct out *out, const char *format,
							    ...)
{
	char text[TOP_LINE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put(out, text);
}

/* --- the host -------------------------------------------------------------------------------- */

static const char *bytes(char *out, uint64_t figure)
{
	return top_format(out, figure, TOP_BYTES);
}

static void draw_host(struct out *out, const struct top_host *host)
{
	char total[TOP_CELL_SIZE], available[TOP_CELL_SIZE];
	put_words(out, "host: %s of %s available, PSI ", bytes(available, host->available),
		  bytes(total, host->total));
	if (host->pressure == TOP_UNKNOWN)
		put(out, "-");
	else
		put_words(out, "%.2f %%", (double)host->pressure / 100);
	end(out, TOP_PLAIN);
}

struct totals {
	uint64_t promised, used, held, excess;
};

static struct totals add_up(struct top_figures *const *guest, size_t count)
{
	struct totals totals = {0};
	for (size_t i = 0; i < count; i++) {
		uint64_t size = top_figure(guest[i], TOP_SIZE);
		uint64_t balloon = top_figure(guest[i], TOP_BALLOON);
		if (size != TOP_UNKNOWN && balloon != TOP_UNKNOWN)
			size = size > balloon ? size - balloon : 0;
		totals.promised = top_sum(totals.promised, size);
		totals.used = top_sum(totals.used, guest[i]->used);
		totals.held = top_sum(totals.held, top_figure(guest[i], TOP_HELD));
		totals.excess = top_sum(totals.excess, guest[i]->excess);
	}
	return totals;
}

static void draw_totals(struct out *out, const struct top_view *view, const struct top_host *host,
			struct top_figures *const *guest, size_t shown, size_t count)
{
	char promised[TOP_CELL_SIZE], held[TOP_CELL_SIZE], used[TOP_CELL_SIZE],
		excess[TOP_CELL_SIZE];
	struct totals totals = add_up(guest, count);
	put_words(out, "guests: %zu, promised %s", count, bytes(promised, totals.promised));
	if (host->total && host->total != TOP_UNKNOWN)
		put_words(out, " (%.0f %% of the host)",
			  100.0 * (double)totals.promised / (double)host->total);
	put_words(out, ", held %s, used %s, excess %s", bytes(held, totals.held),
		  bytes(used, totals.used), bytes(excess, totals.excess));
	if (*view->filter)
		put_words(out, "; %zu named *%s*", shown, view->filter);
	if (view->paused)
		put(out, "; paused");
	end(out, TOP_PLAIN);
}

/* --- the table ------------------------------------------------------------------------------- */

/* Which lines there are, and how many rows of guests. */
struct heights {
	bool totals, titles, keys;
	size_t rows;
};

struct plan {
	size_t columns; /* the first so many */
	size_t name;	/* the name's width */
};

#define NAME_ENOUGH 16 /* of a name are shown before other columns take room from it */

static struct plan plan_table(struct top_figures *const *guest, size_t shown, size_t width)
{
	struct plan plan = {.columns = 1};
	size_t longest = top_columns[TOP_NAME].width;
	for (size_t i = 0; i < shown; i++)
		if (strlen(guest[i]->shown) > longest)
			longest = strlen(guest[i]->shown);
	size_t least = longest < NAME_ENOUGH ? longest : NAME_ENOUGH;
	size_t used = least;
	while (plan.columns < TOP_COLUMNS && used + 1 + top_columns[plan.columns].width <= width)
		used += 1 + top_columns[plan.columns++].width;
	plan.name = used < width ? least + width - used : least;
	plan.name = plan.name < longest ? plan.name : longest;
	return plan;
}

static void draw_titles(struct out *out, const struct plan *plan)
{
	put_field(out, top_columns[TOP_NAME].title, plan->name, false);
	for (size_t i = 1; i < plan->columns; i++) {
		put(out, " ");
		put_field(out, top_columns[i].title, top_columns[i].width,
			  top_columns[i].format != TOP_TEXT);
	}
	end(out, TOP_HEAD);
}

/* From what was used in the last 10 s, on the left, to what was not for an hour. */
static void put_bar(struct out *out, bool in_ascii, const struct top_ages *ages, size_t width)
{
	static const char *const blocks[TOP_AGE_COUNT] = {"█", "▓", "▒", "░", "·"};
	static const char *const ascii[TOP_AGE_COUNT] = {"#", "+", "=", "-", "."};
	const uint64_t *old = ages->bytes;
	if (old[TOP_ALL] == TOP_UNKNOWN || !old[TOP_ALL]) {
		put_field(out, "-", width, true);
		return;
	}
	for (size_t i = 0; i < width; i++) {
		double at = (double)old[TOP_ALL] * ((double)i + 0.5) / (double)width;
		int age = TOP_ALL;
		while (age + 1 < TOP_AGE_COUNT && (double)(old[TOP_ALL] - old[age + 1]) <= at)
			age++;
		put(out, in_ascii ? ascii[age] : blocks[age]);
	}
}

static void draw_row(struct out *out, const struct top_view *view, const struct plan *plan,
		     const struct top_figures *guest, enum top_style style)
{
	char cell[TOP_CELL_SIZE];
	put_field(out, guest->shown, plan->name, false);
	for (size_t i = 1; i < plan->columns; i++) {
		const struct top_column_row *column = &top_columns[i];
		bool text = column->format == TOP_TEXT;
		put(out, " ");
		if (column->format == TOP_BAR) {
			put_bar(out, view->ascii || view->plain, &guest->both, column->width);
			continue;
		}
		put_field(out,
			  text ? top_text(guest, i)
			       : top_format(cell, top_figure(guest, i), column->format),
			  column->width, !text);
	}
	end(out, style);
}

static void draw_table(struct out *out, struct top_view *view, struct top_figures *const *guest,
		       size_t shown, const struct heights *heights)
{
	size_t rows = heights->rows;
	struct plan plan = plan_table(guest, shown, out->width);
	size_t at = top_selected(view, guest, shown);
	view->page = rows;
	/* The selected row is on the screen, and the last page is full. */
	if (view->first > at)
		view->first = at;
	if (rows && at >= view->first + rows)
		view->first = at - rows + 1;
	if (view->first + rows > shown)
		view->first = shown > rows ? shown - rows : 0;
	if (heights->titles)
		draw_titles(out, &plan);
	for (size_t i = view->first; i < shown && i < view->first + rows; i++)
		draw_row(out, view, &plan, guest[i],
			 !view->plain && i == at ? TOP_SELECTED
			 : guest[i]->answers	 ? TOP_PLAIN
						 : TOP_FAINT);
}

static void draw_keys(struct out *out, const struct top_view *view)
{
	if (view->typing)
		put_words(out, "name: %s_   Enter keeps it, Esc takes it away", view->filter);
	else if (view->detail)
		put(out, "q back  space pause");
	else
		put_words(out, "q quit  space pause  / name  Enter detail  < > r sort: %s%s",
			  top_columns[view->sort].title, view->reverse ? ", reversed" : "");
	end(out, TOP_FAINT);
}

/* --- one guest ------------------------------------------------------------------------------- */

static void put_curve(struct out *out, const struct top_view *view, const struct top_figures *guest,
		      enum top_curve curve, uint64_t most)
{
	static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const ascii[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	size_t room = out->width - out->columns;
	room = room < TOP_HISTORY ? room : TOP_HISTORY;
	for (size_t back = room; back-- > 0;) {
		uint64_t value = top_history(guest, curve, (unsigned int)back);
		if (back >= guest->samples)
			continue;
		if (value == TOP_UNKNOWN) {
			put(out, " ");
			continue;
		}
		double share = most ? (double)value / (double)most : 0;
		int level = share >= 1 ? 7 : (int)(share * 8);
		put(out, view->ascii ? ascii[level] : blocks[level]);
	}
}

static uint64_t largest(const struct top_figures *guest, enum top_curve curve)
{
	uint64_t most = 0;
	for (unsigned int back = 0; back < TOP_HISTORY; back++) {
		uint64_t value = top_history(guest, curve, back);
		if (value != TOP_UNKNOWN && value > most)
			most = value;
	}
	return most;
}

static void draw_curve(struct out *out, const struct top_view *view,
		       const struct top_figures *guest, enum top_curve curve)
{
	static const struct {
		const char *label;
		enum top_column column;
	} row[TOP_CURVES] = {
		[TOP_CURVE_HELD] = {"held", TOP_HELD},
		[TOP_CURVE_USED] = {"used", TOP_USED},
		[TOP_CURVE_REPORTED] = {"reported/s", TOP_REPORTED},
		[TOP_CURVE_CPU] = {"CPU %", TOP_CPU},
	};
	char cell[TOP_CELL_SIZE];
	enum top_column column = row[curve].column;
	put_field(out, row[curve].label, 10, false);
	put(out, " ");
	put_field(out, top_format(cell, top_figure(guest, column), top_columns[column].format), 6,
		  true);
	put(out, "  ");
	bool memory = curve == TOP_CURVE_HELD || curve == TOP_CURVE_USED;
	put_curve(out, view, guest, curve,
		  memory && guest->now.size != TOP_UNKNOWN ? guest->now.size
							   : largest(guest, curve));
	end(out, TOP_PLAIN);
}

static void draw_figure(struct out *out, const char *label, uint64_t figure, enum top_format format)
{
	char cell[TOP_CELL_SIZE];
	put_field(out, label, 10, false);
	put(out, " ");
	put_field(out, top_format(cell, figure, format), 6, true);
	end(out, TOP_PLAIN);
}

static void draw_ages(struct out *out, const struct top_view *view, const char *label,
		      const struct top_ages *ages)
{
	static const char *const words[TOP_AGE_COUNT] = {
		[TOP_10S] = "10 s",
		[TOP_1MIN] = "1 min",
		[TOP_10MIN] = "10 min",
		[TOP_1H] = "1 h",
	};
	char cell[TOP_CELL_SIZE];
	put_field(out, label, 10, false);
	put(out, " ");
	put_field(out, bytes(cell, ages->bytes[TOP_ALL]), 6, true);
	if (ages->bytes[TOP_ALL] != TOP_UNKNOWN) {
		put(out, "  ");
		put_bar(out, view->ascii, ages, 20);
		put(out, "  not used for");
		for (int age = TOP_10S; age < TOP_AGE_COUNT; age++)
			put_words(out, "%s %s %s", age == TOP_10S ? "" : ",", words[age],
				  bytes(cell, ages->bytes[age]));
	}
	end(out, TOP_PLAIN);
}

static void draw_detail(struct out *out, const struct top_view *view,
			const struct top_figures *guest)
{
	const struct top_sample *now = &guest->now;
	put_words(out, "%s  %s  pid %ld", guest->shown, top_text(guest, TOP_STATUS),
		  (long)guest->pid);
	end(out, TOP_HEAD);
	for (int curve = 0; curve < TOP_CURVES; curve++)
		draw_curve(out, view, guest, curve);
	draw_ages(out, view, "programs", &guest->ages[TOP_PROGRAMS]);
	draw_ages(out, view, "files", &guest->ages[TOP_FILES]);
	draw_figure(out, "size", top_figure(guest, TOP_SIZE), TOP_BYTES);
	draw_figure(out, "excess", top_figure(guest, TOP_EXCESS), TOP_BYTES);
	draw_figure(out, "caches", now->caches, TOP_BYTES);
	draw_figure(out, "balloon", top_figure(guest, TOP_BALLOON), TOP_BYTES);
	draw_figure(out, "  target", now->target, TOP_BYTES);
	draw_figure(out, "PSI %", top_figure(guest, TOP_PSI), TOP_PERCENT);
	draw_figure(out, "stalls/s", top_figure(guest, TOP_STALLS), TOP_COUNT);
	draw_figure(out, "disk/s", top_figure(guest, TOP_DISK), TOP_BYTES);
	draw_figure(out, "network/s", top_figure(guest, TOP_NETWORK), TOP_BYTES);
	draw_figure(out, "CPUs", now->cpus, TOP_COUNT);
}

/* --- all ------------------------------------------------------------------------------------- */

/* On a screen of few lines the host's and a row come first. */
static struct heights share_out(const struct top_view *view, size_t height)
{
	struct heights heights = {.rows = height - 1};
	bool *wish[] = {&heights.titles, &heights.totals, &heights.keys};
	size_t wishes = view->plain ? 2 : 3;
	for (size_t i = 0; i < wishes && heights.rows > 1; i++) {
		*wish[i] = true;
		heights.rows--;
	}
	return heights;
}

void top_draw(struct top_view *view, const struct top_host *host, struct top_figures *const *guest,
	      size_t shown, size_t count, size_t width, size_t height, top_line *line, void *ctx)
{
	struct heights heights = share_out(view, height);
	struct out out = {.width = width < TOP_WIDTH_MAX ? width : TOP_WIDTH_MAX,
			  .fill = !view->plain,
			  .rows = height - heights.keys,
			  .line = line,
			  .ctx = ctx};
	size_t at = top_selected(view, guest, shown);
	draw_host(&out, host);
	if (heights.totals)
		draw_totals(&out, view, host, guest, shown, count);
	/* A guest that has ended since has no detail. */
	if (view->detail && (at >= shown || strcmp(guest[at]->name, view->selected) != 0))
		view->detail = false;
	if (view->detail)
		draw_detail(&out, view, guest[at]);
	else
		draw_table(&out, view, guest, shown, &heights);
	if (heights.keys) {
		out.row = out.rows++;
		draw_keys(&out, view);
	}
}
