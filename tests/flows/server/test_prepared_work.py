"""Work that goes to a flow beside its parameters, on a real Prefect API."""

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from flows.server.hand_over import handed_over, prepared


class Work:
    """What somebody has prepared."""

    secret = "a password"


class OtherWork:
    """What the flow inside takes."""


def test_a_flow_gets_its_own_work_and_prefect_keeps_only_what_a_page_shows(prefect_url):
    @flow
    def inner() -> list[object]:
        return [prepared(Work), prepared(OtherWork)]

    @flow
    def outer(name: str) -> list[object]:
        before = [prepared(Work), *inner()]
        with handed_over(other):
            return [*before, *inner(), name]

    work, other = Work(), OtherWork()
    with handed_over(work):
        assert outer("turtle") == [work, work, None, None, other, "turtle"]
        assert prepared(Work) is work
    assert prepared(Work) is None
    assert outer("turtle")[0] is None, "as on a worker"
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=6)
    assert [run.parameters for run in runs if run.parameters] == [{"name": "turtle"}] * 2
    assert "password" not in "".join(run.model_dump_json() for run in runs)
