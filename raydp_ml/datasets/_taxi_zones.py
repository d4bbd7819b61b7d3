"""Taxi zones of New York: number, area, latitude and longitude, and how often trips touch them.

Numbers and areas are the city's (TLC taxi zones). Positions are of the middle of a zone, to about
0.005 degrees. Frequencies are trips per 1,000 of yellow and green taxis, March 2019. Zones that
few trips touch are left out.
"""

from __future__ import annotations

from typing import NamedTuple

# Areas: C, Manhattan where the congestion surcharge is due (south of 96th Street); M, the rest of
# Manhattan; A, an airport within the city; N, Newark Airport; O, another borough.
_TABLE = """
  1 N 40.690 -74.177   2 |   4 C 40.723 -73.977   2 |   7 O 40.762 -73.920  10 |  13 C 40.712 -74.016   7
 24 M 40.801 -73.965   3 |  25 O 40.686 -73.987   3 |  33 O 40.696 -73.995   5 |  37 O 40.691 -73.913   2
 40 O 40.679 -73.996   1 |  41 M 40.804 -73.951  11 |  42 M 40.819 -73.941   7 |  43 C 40.782 -73.966  11
 45 C 40.713 -73.998   2 |  48 C 40.762 -73.990  33 |  49 O 40.689 -73.965   1 |  50 C 40.766 -73.996   6
 52 O 40.688 -73.995   2 |  61 O 40.674 -73.939   2 |  65 O 40.695 -73.986   6 |  66 O 40.702 -73.985   2
 68 C 40.748 -74.000  20 |  74 M 40.803 -73.936  11 |  75 M 40.790 -73.946  14 |  79 C 40.727 -73.986  23
 82 O 40.739 -73.877   5 |  87 C 40.707 -74.008   5 |  88 C 40.703 -74.012   3 |  90 C 40.742 -73.994  15
 95 O 40.723 -73.847   4 |  97 O 40.689 -73.975   6 | 100 C 40.753 -73.989  17 | 107 C 40.737 -73.984  17
112 O 40.730 -73.950   1 | 113 C 40.732 -73.994  14 | 114 C 40.728 -73.997  12 | 116 M 40.825 -73.948   4
125 C 40.726 -74.007   7 | 129 O 40.757 -73.886   5 | 132 A 40.645 -73.786  24 | 137 C 40.740 -73.977   9
138 A 40.774 -73.873  23 | 140 C 40.766 -73.954  15 | 141 C 40.766 -73.960  19 | 142 C 40.771 -73.982  27
143 C 40.776 -73.988  12 | 144 C 40.720 -73.997   8 | 145 O 40.745 -73.948   3 | 146 O 40.753 -73.937   2
148 C 40.718 -73.990  12 | 151 M 40.797 -73.967   8 | 158 C 40.735 -74.008   9 | 161 C 40.758 -73.977  36
162 C 40.756 -73.972  31 | 163 C 40.764 -73.977  22 | 164 C 40.748 -73.985  22 | 166 M 40.809 -73.962  10
170 C 40.748 -73.978  25 | 181 O 40.670 -73.980   3 | 186 C 40.748 -73.993  33 | 211 C 40.723 -74.001   7
223 O 40.775 -73.907   3 | 226 O 40.742 -73.925   3 | 229 C 40.757 -73.965  17 | 230 C 40.760 -73.984  29
231 C 40.717 -74.008  14 | 232 C 40.715 -73.983   2 | 233 C 40.750 -73.970  11 | 234 C 40.740 -73.990  28
236 C 40.780 -73.957  29 | 237 C 40.769 -73.965  32 | 238 C 40.791 -73.973  15 | 239 C 40.783 -73.978  22
244 M 40.841 -73.941   5 | 246 C 40.753 -74.004  13 | 249 C 40.735 -74.002  17 | 255 O 40.718 -73.957   2
256 O 40.711 -73.960   2 | 260 O 40.745 -73.906   4 | 261 C 40.710 -74.013   4 | 262 C 40.776 -73.945  11
263 C 40.778 -73.951  16
"""  # noqa: E501

JFK, NEWARK = 132, 1


class Zone(NamedTuple):
    """A taxi zone."""

    number: int
    area: str
    latitude: float
    longitude: float
    frequency: float


ZONES = [
    Zone(int(number), area, float(latitude), float(longitude), float(frequency))
    for number, area, latitude, longitude, frequency in (
        cell.split() for line in _TABLE.strip().splitlines() for cell in line.split("|")
    )
]
