"""The strategies by name. Adding one means one module with its tables, and one line here."""

from infra.credentials import Strategy
from infra.rotation.steps import StrategyRules
from infra.rotation.strategies.alternating import Alternating
from infra.rotation.strategies.in_place import InPlace
from infra.rotation.strategies.managed import Managed
from infra.rotation.strategies.recreate import Recreate

STRATEGIES: dict[Strategy, StrategyRules] = {
    Strategy.RECREATE: Recreate(),
    Strategy.IN_PLACE: InPlace(),
    Strategy.ALTERNATING: Alternating(),
    Strategy.MANAGED: Managed(),
}
