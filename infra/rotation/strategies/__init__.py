"""The strategies by name. Adding one means one module with its tables, and one line here."""

from infra.credentials import Strategy as StrategyName
from infra.rotation.steps import Strategy
from infra.rotation.strategies.alternating import Alternating
from infra.rotation.strategies.in_place import InPlace
from infra.rotation.strategies.managed import Managed
from infra.rotation.strategies.recreate import Recreate

STRATEGIES: dict[StrategyName, Strategy] = {
    StrategyName.RECREATE: Recreate(),
    StrategyName.IN_PLACE: InPlace(),
    StrategyName.ALTERNATING: Alternating(),
    StrategyName.MANAGED: Managed(),
}
