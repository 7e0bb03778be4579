"""An exported student as an MLflow model: texts in, a label and the probability of each class out.

MLflow copies this file into the model and runs it there ("models from code"), beside `w2s_student.py`, which it puts on
the path; so nothing of w2s_ray is imported and nothing is unpickled.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Served(PythonModel):  # type: ignore[misc]
    """Reads the column `text`."""

    def load_context(self, context: Any) -> None:
        """Loads the folder that was exported."""
        from transformers import AutoTokenizer
        from w2s_student import StudentForSequenceClassification  # lies in the model's folder `code`

        folder = context.artifacts["student"]
        self._model = StudentForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Returns a row for each text: `label`, and a column for each class."""
        probabilities = self._model.classify(model_input["text"].astype(str).tolist(), self._tokenizer)
        names = [self._model.config.id2label[number] for number in range(self._model.config.num_labels)]
        labels = [names[number] for number in probabilities.argmax(dim=1).tolist()]
        columns = {name: probabilities[:, number].double().numpy() for number, name in enumerate(names)}
        return pd.DataFrame({"label": labels, **{f"p({name})": column for name, column in columns.items()}})


set_model(Served())
