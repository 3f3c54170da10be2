import snips


@snips.testing.parametrize_with_checks(["local-wiener"])
def test_conformance(check):
    check()
