"""The report folder: tables, figures, text and one HTML file."""

REPORT = "report.html"

from orthodx.evaluation.files import summary, write_files
from dataclasses import replace


def write_report(e, out):
    e = replace(e, summary=summary(e))
    write_files(e, out)
    return e
