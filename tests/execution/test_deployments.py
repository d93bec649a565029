import pytest

from execution.deployments import AMOY, CONTRACTS, POLYGON, PUBLISHED, DeploymentError, deployment_on

OURS = "0x" + "A1" * 20


@pytest.mark.parametrize("chain_id", [POLYGON, AMOY])
def test_a_published_chain_has_its_contracts(chain_id: int) -> None:
    assert deployment_on(chain_id) == PUBLISHED[chain_id]


@pytest.mark.parametrize("chain_id", [0, 1, 138, 31_337, -137])
def test_an_unknown_chain_is_refused_and_never_taken_for_another(chain_id: int) -> None:
    with pytest.raises(DeploymentError, match=f"Chain id {chain_id} is unknown"):
        deployment_on(chain_id, dict.fromkeys(CONTRACTS[:1], OURS))


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_address_can_be_replaced_and_the_others_stay(name: str) -> None:
    replaced, published = deployment_on(POLYGON, {name: OURS}), deployment_on(POLYGON)
    assert getattr(replaced, name) == OURS.lower()
    others = [each for each in CONTRACTS if each != name]
    assert [getattr(replaced, each) for each in others] == [getattr(published, each) for each in others]


def test_an_empty_setting_replaces_nothing() -> None:
    assert deployment_on(POLYGON, {"exchange_v2": ""}) == deployment_on(POLYGON)


@pytest.mark.parametrize("text", ["0x12", "e" * 42, "0x" + "g" * 40, "0x" + "00" * 20])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(DeploymentError, match="exchange_v3"):
        deployment_on(POLYGON, {"exchange_v3": text})


def test_a_name_that_is_no_contract_is_refused() -> None:
    with pytest.raises(DeploymentError, match="exchange_v9"):
        deployment_on(POLYGON, {"exchange_v9": OURS})


def test_one_address_is_not_two_contracts() -> None:
    with pytest.raises(DeploymentError, match="exchange_v2 and exchange_v3"):
        deployment_on(POLYGON, {"exchange_v2": OURS, "exchange_v3": OURS})


def test_what_the_test_net_has_not_published_is_in_no_set() -> None:
    amoy = deployment_on(AMOY)
    assert "" not in amoy.exchanges | amoy.emitters | amoy.intermediaries | amoy.collaterals
    assert amoy.conditional_tokens in amoy.emitters
