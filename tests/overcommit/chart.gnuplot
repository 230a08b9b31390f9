# SPDX-License-Identifier: Apache-2.0
# Draws the report's chart: a panel for each variant, and bars that compare them. report.py writes what this needs before
# it loads this: kind (png or svg), output, title, subtitle, variants, guests, columns, rows, last (seconds),
# top (MiB), limit (MiB, 0: not drawn), unit; arrays name[], says[], shade[], bar_peak[], bar_mean[], text_peak[],
# text_mean[]; blocks $d1 and on: seconds, the sum of the guests' footprints from the last guest to the first, used, lazy.
wide = 470 * columns
high = 84 + 300 * rows
if (kind eq 'png') {
	set terminal pngcairo size 1.25 * wide, 1.25 * high font 'DejaVu Sans,13.5' linewidth 1.5 background '#ffffff'
} else {
	set terminal svg size wide, high font 'DejaVu Sans,Helvetica,sans-serif,12' linewidth 1.1 background '#ffffff' \
		enhanced name 'chart'
}
set output output
set encoding utf8
ink = '#111827'
grey = '#6b7280'
red = '#c2410c'

set multiplot
set lmargin 0
set rmargin 0
set tmargin 0
set bmargin 0
set border 3 linecolor rgb '#9ca3af'
set tics nomirror out scale 0.4 textcolor rgb grey
set label 1 '{/:Bold '.title.'}' at screen 0.5 * 40 / wide, 1 - 22.0 / high left textcolor rgb ink
set label 2 subtitle at screen 0.5 * 40 / wide, 1 - 44.0 / high left textcolor rgb grey
set style fill solid 1 noborder
unset key

cell_w = 1.0 / columns
cell_h = (1 - 70.0 / high) / rows
left(i) = ((i - 1) % columns) * cell_w + 58.0 / wide
right(i) = ((i - 1) % columns + 1) * cell_w - 22.0 / wide
over(i) = 1 - 70.0 / high - int((i - 1) / columns) * cell_h - 46.0 / high
under(i) = 1 - 70.0 / high - (int((i - 1) / columns) + 1) * cell_h + 44.0 / high

do for [i = 1:variants] {
	set lmargin at screen left(i)
	set rmargin at screen right(i)
	set tmargin at screen over(i)
	set bmargin at screen under(i)
	set xrange [0:last]
	set yrange [0:top]
	set ytics autofreq textcolor rgb grey
	set xtics autofreq textcolor rgb grey
	set grid ytics linetype 1 linecolor rgb '#e5e7eb' back
	set label 3 '{/:Bold '.name[i].'}' at graph 0, 1.115 left textcolor rgb ink
	set label 4 says[i] at graph 0, 1.04 left textcolor rgb grey
	set xlabel 'seconds' offset 0, 0.6 textcolor rgb grey
	if ((i - 1) % columns == 0) { set ylabel unit offset 1, 0 textcolor rgb grey } else { unset ylabel }
	unset arrow
	unset label 5
	if (limit > 0) {
		set arrow 1 from 0, limit to last, limit nohead front dashtype 2 linecolor rgb red
		set label 5 "the host's memory" at last, limit right offset 0, 0.5 front textcolor rgb red
	}
	set arrow 2 from 0, bar_peak[1] to last, bar_peak[1] nohead front dashtype 3 linecolor rgb grey
	plot for [g = guests:1:-1] sprintf('$d%d', i) using 1:(column(1 + g)) with filledcurves y1=0 \
		linecolor rgb shade[g], \
		sprintf('$d%d', i) using 1:(column(guests + 3) > 0 ? column(1 + guests) + column(guests + 3) : NaN) \
		with lines linewidth 1 dashtype 4 linecolor rgb grey, \
		sprintf('$d%d', i) using 1:(column(guests + 2)) with lines linewidth 2.4 linecolor rgb '#ffffff', \
		sprintf('$d%d', i) using 1:(column(guests + 2)) with lines linewidth 1.5 linecolor rgb ink
	unset label 1
	unset label 2
}

# The bars: peak and mean in parts of the first variant's.
i = variants + 1
set lmargin at screen left(i) + 58.0 / wide
set rmargin at screen right(i) - 40.0 / wide
set tmargin at screen over(i)
set bmargin at screen under(i)
unset arrow
unset label 5
unset xlabel
unset ylabel
unset ytics
set xrange [0:1.28]
set yrange [variants + 0.6:0.4]
unset grid
set xtics ('0' 0, '½' 0.5, '1 = '.short[1] 1)
set label 3 '{/:Bold Peak, and memory over time}' at graph -0.16, 1.115 left textcolor rgb ink
set label 4 'dark: highest; light: mean' at graph -0.16, 1.04 left textcolor rgb grey
do for [v = 1:variants] {
	set object 10 + 2 * v rectangle from 0, v - 0.36 to bar_peak[v] / bar_peak[1], v - 0.02 \
		fillcolor rgb '#1d4f91' fillstyle solid noborder
	set object 11 + 2 * v rectangle from 0, v + 0.02 to bar_mean[v] / bar_mean[1], v + 0.36 \
		fillcolor rgb '#8fb8e8' fillstyle solid noborder
	set label 20 + 3 * v short[v] at 0, v right offset -0.6, 0 textcolor rgb ink
	set label 21 + 3 * v text_peak[v] at bar_peak[v] / bar_peak[1], v - 0.19 left offset 0.4, 0 textcolor rgb grey
	set label 22 + 3 * v text_mean[v] at bar_mean[v] / bar_mean[1], v + 0.19 left offset 0.4, 0 textcolor rgb grey
}
plot NaN notitle
unset multiplot
