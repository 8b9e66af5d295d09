"""What a flag may pass, and what is refused whatever the field means."""

import pytest
from ml_collections import ConfigDict

from infojax.errors import UserError
from launch import forms

DEFAULT = {
    "flag": True,
    "count": 3,
    "rate": 0.5,
    "name": "a",
    "sizes": (16, 64),
    "rates": (0.1,),
    "empty": (),
    "rows": ((0.0,), (1.0,)),
    "part": ConfigDict({"rate": 0.1}),
}
FITTING = [
    *({"count": 0}, {"count": -5}, {"count": 2**31 - 1}, {"rate": -1.5}, {"rate": 3}),
    *({"name": ""}, {"name": "é/../ü"}, {"sizes": ()}, {"sizes": (1,)}, {"rates": (1, 0.5)}),
    *({"empty": ("a",)}, {"empty": (1,)}, {"rows": ((1, "a", True),)}, {"rows": (((1,),),)}),
]
REFUSED = [
    ({"count": 2**31}, "count must lie between -2^31 and 2^31, got 2147483648"),
    ({"count": 10**5000}, "got a number of thousands of digits"),
    ({"count": True}, "count must be an integer, such as 3; got True"),
    ({"count": 3.0}, "count must be an integer, such as 3; got 3.0"),
    ({"rate": float("nan")}, "rate must be finite, got nan"),
    ({"rate": float("-inf")}, "rate must be finite, got -inf"),
    ({"rate": 1e39}, "rate must fit 32 bits"),
    ({"rate": None}, "rate must be numbers, text or tuples of them; got None"),
    ({"name": "a\nb"}, "name must be a line of text"),
    ({"name": "\0"}, "name must be a line of text"),
    ({"name": "\ud800"}, "name must be a line of text"),
    ({"name": "a\x1e"}, "name must be a line of text"),
    ({"name": "x/" + "x" * 256}, "name must be a line of text"),
    ({"name": "x" * 5000}, "name must be a line of text"),
    ({"sizes": 5}, "sizes must be a tuple, such as (16, 64); got 5"),
    ({"sizes": (16.0,)}, "sizes must hold an integer, such as (16, 64); got 16.0"),
    ({"sizes": (True,)}, "sizes must hold an integer"),
    ({"sizes": ((1,),)}, "sizes must hold an integer"),
    ({"rates": (float("inf"),)}, "rates must be finite, got inf"),
    ({"rates": ("(nan,)",)}, "rates must hold a number, such as (0.1,); got '(nan,)'"),
    ({"empty": ({1},)}, "empty must be numbers, text or tuples of them; got {1}"),
    ({"rows": (0.5,)}, "rows must hold a tuple"),
    ({"rows": ((b"a",),)}, "rows must be numbers, text or tuples of them; got b'a'"),
    ({"rows": (([],),)}, "rows must be numbers, text or tuples of them; got []"),
    ({"part": ConfigDict({"rate": float("nan")})}, "part.rate must be finite, got nan"),
]


@pytest.mark.parametrize("change", FITTING, ids=str)
def test_fitting(change):
    forms.check(ConfigDict(DEFAULT | change), ConfigDict(DEFAULT))


def test_what_a_config_file_says_itself():
    """Forms that no flag may pass, and names whose limits are those of the models here."""
    own = {"none": None, "list": [1, 2], "inf": float("inf"), "nan": float("nan"), "big": 2**40}
    own |= {"text": "a\nb", "part": {"none": None}, "num_groups": 32, "experiment": "mine.own"}
    forms.check(ConfigDict(own), ConfigDict(own))
    with pytest.raises(UserError, match="inf must be finite"):
        forms.check(ConfigDict(own | {"inf": -float("inf")}), ConfigDict(own))


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_refused_in_one_line(change, message):
    with pytest.raises(UserError) as caught:
        forms.check(ConfigDict(DEFAULT | change), ConfigDict(DEFAULT))
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_seeds": 10_001}, "num_seeds must be at most 10000, got 10001"),
        ({"num_seeds": 2, "seed": 2**31 - 1}, "num_seeds must be at most 2^31, got"),
        ({"num_steps": 10**7, "eval_every": 9}, "must be at most 1000000 evaluations, got 1111111"),
    ],
)
def test_amounts_that_no_machine_serves(config, message):
    with pytest.raises(UserError) as caught:
        forms.check_amounts(ConfigDict(config))
    assert message in str(caught.value)
    forms.check_amounts(ConfigDict(dict.fromkeys(config, 1)))
