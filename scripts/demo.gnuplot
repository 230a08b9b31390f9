# SPDX-License-Identifier: Apache-2.0
# Draws the demo's picture. scripts/demo feeds it: $off, $stock and $patched (seconds since the free, MiB), the
# numbers and the kernel of each run, all (0: patched is missing, and its curve one point), first, last, take and taken (when, in the last run),
# take_side and taken_side (where these texts stand beside their lines), kind (png or svg), and the output.
if (kind eq 'png') {
	set terminal pngcairo size 1600,900 font 'DejaVu Sans,19' linewidth 2 background '#ffffff'
	small = ',15'
} else {
	set terminal svg size 960,540 font 'DejaVu Sans,Helvetica,sans-serif,12' linewidth 1.2 background '#ffffff' enhanced
	small = ',10'
}
off_colour = '#d9730d'
stock_colour = '#3b82d6'
patched_colour = '#0b8a75'
grey = '#6b7280'

set encoding utf8
set border 3 linecolor rgb '#9ca3af'
set tics nomirror out scale 0.5 textcolor rgb grey
set grid ytics linetype 1 linecolor rgb '#e5e7eb'
set xrange [first:last]
# The marks' texts stand above the frame, where they do not cross its left side.
set yrange [0:668]
set ytics 0,128,640
step = last - first > 60 ? 10 : last - first > 30 ? 5 : 2
set xtics step
set lmargin 9
set rmargin 18
set tmargin 6
set bmargin 4
set xlabel 'seconds since the guest freed the memory' textcolor rgb grey offset 0,0.3
set ylabel 'host memory held for the guest (MiB)' textcolor rgb grey offset 0.5,0
set label 1 "{/:Bold A guest takes 512 MiB and frees it. Does the host get it back?}" at graph 0,1.17 left front textcolor rgb '#111827'
after(t90, what) = t90 eq 'never' ? '' : ', '.what.'after '.t90.' s'
kept = sprintf("Kept: %.0f MiB with reporting off; Debian's kernel %.0f MiB%s", \
	off_kept, stock_kept, after(stock_t90, '90 % back '))
kernels = 'off, stock: Linux '.stock_kernel
if (all) {
	kept = kept.sprintf('; ours %.0f MiB%s', patched_kept, after(patched_t90, ''))
	kernels = kernels.'; patched: '.patched_kernel
}
set label 2 kept.'.' at graph 0,1.10 left front textcolor rgb grey

# What the guest did, in the last run.
set arrow 1 from 0,0 to 0,668 nohead front dashtype 3 linecolor rgb grey
set label 3 'freed' at 0,684 left offset 0.5,0 front textcolor rgb grey
set arrow 2 from take,0 to take,668 nohead front dashtype 3 linecolor rgb grey
set label 4 'take' at take,684 @take_side front textcolor rgb grey
set arrow 3 from taken,0 to taken,668 nohead front dashtype 3 linecolor rgb grey
set label 5 'taken' at taken,684 @taken_side front textcolor rgb grey

set label 6 sprintf("{/:Bold off}  %.0f MiB", off_after) at graph 1.015,first off_after left front textcolor rgb off_colour
set label 7 sprintf("{/:Bold stock}  %.0f MiB", stock_after) at graph 1.015,first stock_after left front textcolor rgb stock_colour
# Where both would be written over each other, one is moved.
apart = 34
if (all) {
	patched_at = abs(patched_after - stock_after) > apart ? patched_after : stock_after - apart
	set label 8 sprintf("{/:Bold patched}  %.0f MiB", patched_after) at graph 1.015,first patched_at left front textcolor rgb patched_colour
}
# Each kernel by what it calls itself, in a corner.
set label 9 kernels at screen 0.985,0.025 right front noenhanced font small textcolor rgb grey

unset key
set style fill transparent solid 0.10 noborder
plot $off using 1:2 with filledcurves y1=0 linecolor rgb off_colour, \
     $stock using 1:2 with filledcurves y1=0 linecolor rgb stock_colour, \
     $patched using 1:2 with filledcurves y1=0 linecolor rgb patched_colour, \
     $off using 1:2 with lines linewidth 2 linecolor rgb off_colour, \
     $stock using 1:2 with lines linewidth 2 linecolor rgb stock_colour, \
     $patched using 1:2 with lines linewidth 2 linecolor rgb patched_colour
