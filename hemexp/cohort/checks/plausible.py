"""Check the cohort as a whole: values in another unit or in another column, late scans, serials and territories."""

import numpy as np
import pandas as pd

from hemexp.cohort import columns as c
from hemexp.cohort.findings import RecordFindings

_FEWEST = 10  # patients or scans; below it, a share or a median says little
_MOST = 0.5  # a larger share is most of the cohort
_NEARLY_ALL = 0.9
_WINDOW = 48.0  # hours: the usual window of an expansion
_TIMES_LATER = 5.0  # than 19 of 20 other scans: 4.6 in the published scans
_LATE = 21 * 24.0  # hours
_VERY_EARLY = 0.05  # hours after onset
_SOON = 1.0  # hours: the median of the second scans is later
_DATE_DIGITS = 8
_DAY = pd.Timedelta(days=1)
_FAR = 31  # days: less is another check's
_LEAP_DAYS = 2  # by which a year differs
_WHOLE = 1.05  # shares add up to at most 1; rounded ones to a little more
_FEW_BROKEN = 0.05
_FEWEST_IN_TERRITORIES = 100  # scans: enough to compare hematoma and edema in one territory
_LEAST_RANK = 0.15  # of these two: 0.4 to 0.8 in the published scans, 0 a row off, negative where sides are exchanged


def check_cohort(scans: pd.DataFrame, firsts: pd.DataFrame, findings: RecordFindings, is_published: bool) -> None:
    """Check medians, the times of later scans, the dates in serials, and territories.

    Args:
        scans: a row a scan, the scans of a patient in order.
        firsts: the first scans.
        findings: receives the findings.
        is_published: whether the tables have the published layout.
    """
    _check_medians(firsts, findings)
    _check_follow_up(scans, findings)
    for name in ("hours_from_first_scan", "hours_from_onset"):
        _check_outliers(
            scans.loc[(scans["scan_index"] > 0) == (name == "hours_from_first_scan"), name], scans, findings
        )
    _check_midnight(firsts, findings)
    _check_serial_dates(scans, findings, is_published)
    for tissue, volume in zip(("HM", "ED"), c.VOLUMES, strict=True):
        names = [name for name in c.RATIOS[tissue] if name in scans]
        if names:
            _check_shares(scans, names, volume, findings)
    _compare_territories(scans, findings)


def _check_medians(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of columns whose median is unusual: another unit, or the values of another column."""
    for column in c.list_known(firsts):
        values = firsts[column.name].dropna() if column.usual else pd.Series(dtype=float)
        if len(values) < _FEWEST or not column.usual or column.usual[0] <= values.median() <= column.usual[1]:
            continue
        factor, unit = (1000, "mL") if column.kind == "volume" else (1, column.unit)
        low, high = (limit / factor for limit in column.usual)
        median = values.median() / factor
        message = (
            f"the median of {column.name} is {median:.3g} {unit}".rstrip()
            + f"; rule: usually {low:g} to {high:g}; it is used unchanged: see that it is in this unit and is not "
            "exchanged with another one"
        )
        findings.warn("unusual_median", int(values.index[0]), column.name, message, f"{median:.3g}")


def _check_follow_up(scans: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of a cohort whose second scans are very early or mostly after the window of the labels."""
    hours = scans["hours_from_first_scan"]
    second = scans.index[(scans["scan_index"] == 1) & (hours > 0)]
    if len(second) < _FEWEST:
        return
    name = "scan_time" if scans["scan_time"].notna().any() else "hours_from_first_scan"
    median, late = float(hours[second].median()), hours[second] > _WINDOW
    unit = "see that the hours are hours and not minutes or days, and that first and later scans are not exchanged"
    if median < _SOON:
        message = f"the second scan is {median:.2g} hours after the first one in the median; usually 6 to 30; {unit}"
        findings.warn("follow_up_early", int(second[0]), name, message, f"{median:.2g}")
    elif late.mean() > _MOST:
        message = (
            f"the second scan of {late.sum()} of {len(second)} patients is over {_WINDOW:g} hours after the first; "
            f"a label within {_WINDOW:g} hours is negative or unknown for them; {unit}"
        )
        findings.once("warning", "follow_up_late", second[late], name, message, f"{median:.3g}")


def _check_outliers(hours: pd.Series, scans: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of single scans that are far later than the others: another month or year was typed."""
    known = hours.dropna()
    if len(known) < _FEWEST:
        return
    usual = max(float(known.quantile(0.95, interpolation="lower")), 0.0)
    late = known.index[(known > _TIMES_LATER * usual) & (known > _LATE)]
    what, start = ("first scan", "onset") if hours.name == "hours_from_onset" else ("scan", "the first scan")
    name = "scan_time" if scans["scan_time"].notna().any() else str(hours.name)
    if hours.name == "hours_from_onset":
        early = known.index[(known > 0) & (known < _VERY_EARLY)]
        text = "the first scan is less than 3 minutes after onset; used unchanged: see that the hours are in hours"
        findings.each("warning", "scans_close", early, name, lambda row: text, lambda row: f"{known[row]:.3g}")

    def message(row: int) -> str:
        return (
            f"the {what} is {known[row] / 24:.0f} days after {start}; 19 of 20 of these scans are within "
            f"{usual / 24:.2g} days; used unchanged: check month and year of both times"
        )

    findings.each("warning", "far_later", late, name, message, lambda row: f"{known[row]:.0f}")


def _check_midnight(firsts: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of an onset at midnight, longer before the first scan than all others: perhaps only its date is known."""
    hours = firsts["hours_from_onset"]
    onset = (firsts["scan_time"] - pd.to_timedelta(hours, unit="h")).dt.round("s")
    is_midnight = (onset == onset.dt.normalize()) & hours.notna()
    if hours.notna().sum() < _FEWEST or is_midnight.mean() > _FEW_BROKEN:
        return
    longest = hours[~is_midnight].max()

    def message(row: int) -> str:
        return (
            f"the onset is at 00:00, {hours[row]:.3g} hours before the first scan; in the other patients at most "
            f"{longest:.3g}; used unchanged: if only the date is known, clear the cell"
        )

    rows = firsts.index[is_midnight & (hours > longest)]
    findings.each("warning", "midnight", rows, "onset_time", message, lambda row: str(onset[row]))


def _check_serial_dates(scans: pd.DataFrame, findings: RecordFindings, is_published: bool) -> None:
    """Check that a serial begins with the date of its scan, where the serials of the cohort have this form."""
    both = scans["scan_time"].notna() & scans["scan_serial"].notna()
    if both.sum() < _FEWEST:
        return
    serials, days = scans.loc[both, "scan_serial"].astype(str), scans.loc[both, "scan_time"].dt.normalize()
    stated = pd.to_datetime(serials.str[:_DATE_DIGITS], format="%Y%m%d", errors="coerce")
    in_range = stated.between(days.min() - 31 * _DAY, days.max() + 31 * _DAY)
    agree = (stated == days).mean()
    _check_years(stated, days, findings)
    if in_range.mean() < _NEARLY_ALL or (agree < _MOST and not is_published):
        return
    apart = (stated - days).abs()
    rule = f"rule: a serial begins with the date of its scan, as {agree:.0%} of this cohort do"
    if agree < _MOST:
        rule = (
            "rule: a serial begins with the date of its scan; the times or the serials were probably pasted one row off"
        )

    def message(row: int) -> str:
        return f"scan {serials[row]} has the time {scans['scan_time'].at[row]}; {rule}; correct the serial or the time"

    for severity, rows in (
        ("error" if is_published else "warning", stated.index[(apart > _DAY) | stated.isna()]),
        ("warning", stated.index[apart == _DAY]),
    ):
        findings.each(severity, "serial_date", rows, "scan_time", message, serials.get)


def _check_years(stated: pd.Series, days: pd.Series, findings: RecordFindings) -> None:
    """Warn of times that are all as far from the dates in their serials: another year, or days counted from 1904."""
    apart = (days - stated).dt.days
    offset = apart.median()
    if abs(offset) > _FAR and ((apart - offset).abs() <= _LEAP_DAYS).mean() >= _NEARLY_ALL:
        side = "later" if offset > 0 else "earlier"
        message = (
            f"the serials begin with dates, and the scan times are {abs(offset):.0f} days {side}; rule: both have the "
            "date of the scan; correct the years; 1462 days: the workbook counts days from 1904"
        )
        findings.once("warning", "serial_date", apart.index[apart.notna()], "scan_time", message, f"{offset:.0f} days")


def _check_shares(scans: pd.DataFrame, names: list[str], volume: str, findings: RecordFindings) -> None:
    """Check that the shares of the territories add up to at most 1, and are given where there is a volume."""
    shares = scans[names]
    sums = shares.sum(axis=1, min_count=1)
    above = scans.index[sums > _WHOLE]
    count = int(sums.notna().sum())
    is_error = len(names) == len(c.RATIOS["HM"]) and count >= _FEWEST and len(above) > _FEW_BROKEN * count

    def too_large(row: int) -> str:
        return (
            f"the ratios from {names[0]} to {names[-1]} sum to {sums[row]:.3f}; rule: at most 1; one of these columns "
            "was probably pasted one row off or is in percent; correct it"
        )

    findings.each("error" if is_error else "warning", "ratio_sum_large", above, names[0], too_large, sums.round(4).get)
    if volume in scans:
        volumes = scans[volume]
        is_rounded = bool((volumes.dropna() % 1000 == 0).all())  # to whole mL: 0.4 mL is 0
        rows = scans.index[((volumes == 0) & (sums > 0) & (not is_rounded)) | ((volumes > 0) & (sums == 0))]

        def contradicts(row: int) -> str:
            return (
                f"{volume} is {volumes[row]:g}, but the shares of the territories sum to {sums[row]:.3f}; rule: a "
                "volume of 0 has no shares, and any other has some; check the cells"
            )

        findings.each("warning", "ratio_without_volume", rows, volume, contradicts, volumes.get)


def _compare_territories(scans: pd.DataFrame, findings: RecordFindings) -> None:
    """Warn of a territory whose hematoma is not where its edema is, but where the edema of another one is."""
    names = [*c.RATIOS["HM"], *c.RATIOS["ED"]]
    if not set(names) <= set(scans):
        return
    shares = scans[names].dropna()
    shares = shares.iloc[:: max(1, len(shares) // 5000)]
    if len(shares) < _FEWEST_IN_TERRITORIES:
        return
    count = len(c.RATIOS["HM"])
    table = shares.rank().corr().iloc[:count, count:].set_axis(c.RATIOS["ED"], axis=1)
    margin = 2 / np.sqrt(len(shares))
    seen = (shares > 0).sum() >= _FEWEST
    for hematoma, edema in zip(c.RATIOS["HM"], c.RATIOS["ED"], strict=True):
        pairs = zip(c.RATIOS["ED"], table.loc[hematoma], strict=True)
        ranks = {name: float(value) for name, value in pairs if seen[name] and value == value}  # not of constant ones
        if edema not in ranks or not seen[hematoma]:
            continue
        own, other = ranks[edema], max(ranks, key=ranks.__getitem__)
        if own + margin >= _LEAST_RANK and ranks[other] <= own + margin:
            continue
        message = (
            f"{hematoma} and {edema} are in different patients: the rank correlation is {own:.2f}, usually 0.4 to 0.8, "
            f"and {ranks[other]:.2f} with {other}; rule: edema is around the hematoma; one of the columns "
            "was probably pasted one row off or exchanged; compare them with their source"
        )
        findings.warn("territories_disagree", int(scans.index[0]), hematoma, message, f"{own:.2f}")
