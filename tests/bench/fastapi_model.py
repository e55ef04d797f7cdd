"""The serving bench's other side: a logistic regression of scikit-learn behind FastAPI. ROWS names the CSV file."""

import os

import pandas
from fastapi import FastAPI
from sklearn.linear_model import LogisticRegression

table = pandas.read_csv(os.environ["ROWS"])
columns = [name for name in table.columns if name != "label"]
model = LogisticRegression(max_iter=1000).fit(table[columns].to_numpy(), table["label"])
app = FastAPI()


@app.post("/predict")
def predict(row: dict[str, float]) -> dict[str, float | str]:
    scores = model.predict_proba([[row[name] for name in columns]])[0]
    return {"score": float(scores[1]), "prediction": str(model.classes_[scores.argmax()])}
