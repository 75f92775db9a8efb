"""The strategies by name. A new one is one module with its tables, and one line here."""

from infra.rotation.steps import Strategy
from infra.rotation.strategies.alternating import Alternating
from infra.rotation.strategies.in_place import InPlace
from infra.rotation.strategies.managed import Managed
from infra.rotation.strategies.recreate import Recreate
from infra.targets import Strategy as StrategyName

STRATEGIES: dict[StrategyName, Strategy] = {
    StrategyName.RECREATE: Recreate(),
    StrategyName.IN_PLACE: InPlace(),
    StrategyName.ALTERNATING: Alternating(),
    StrategyName.MANAGED: Managed(),
}
