"""How long a running command may continue after the end of its grant."""

from pydantic import BaseModel, Field, field_validator

from sessions_app.policy.commands.document import FROZEN
from sessions_app.policy.durations import Duration

MAX_FINISH_SECONDS = 3600


class Finish(BaseModel):
    """Permission for a running command to continue after the grant's end, for at most this long."""

    model_config = FROZEN
    finish: Duration = Field(description="At most 1h, for example 5m")

    @field_validator("finish")
    @classmethod
    def _limited(cls, seconds: int) -> int:
        if seconds > MAX_FINISH_SECONDS:
            raise ValueError("needs a duration of at most 1h, for example 5m")
        return seconds
