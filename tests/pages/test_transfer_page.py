"""The path on docs/transfer.md leads from DICOM to a report."""

import pandas as pd

from orthodx.joints import ANKLE


def test_the_path_of_the_page_leads_from_dicom_to_a_report(transferred):
    assert (transferred / "report/report.html").is_file()
    told = pd.read_csv(transferred / "predictions.csv")
    assert set(ANKLE.codes) < set(told.columns)
    arms = pd.read_csv(transferred / "transfer/arms.csv")
    assert len(arms) == 4
    assert set(told.study_id) == set(pd.read_csv(transferred / "transfer/split/test.csv").study_id)
