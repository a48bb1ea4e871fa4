"""Measures of one-pass dreams against direct dreams; docs/measures.md says what each one is and what cheats it."""

from dreamgan.metrics.cheats import CHEATS as CHEATS
from dreamgan.metrics.equivalent import equivalent_steps as equivalent_steps
from dreamgan.metrics.features import cosines as cosines
from dreamgan.metrics.features import feature_map as feature_map
from dreamgan.metrics.features import feature_vectors as feature_vectors
from dreamgan.metrics.gains import gains as gains
from dreamgan.metrics.kid import kernel_distance as kernel_distance
from dreamgan.metrics.measures import Measures as Measures
from dreamgan.metrics.measuring import Measuring as Measuring
from dreamgan.metrics.measuring import measure as measure
from dreamgan.metrics.referee import Referee as Referee
from dreamgan.metrics.referee import load_referee as load_referee
from dreamgan.metrics.residuals import other_photos as other_photos
from dreamgan.metrics.residuals import universal_share as universal_share
from dreamgan.metrics.residuals import with_residual_of as with_residual_of
