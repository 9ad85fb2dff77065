import pytest

pytest.register_assert_rewrite("tests.conformance.breaker.steps")
