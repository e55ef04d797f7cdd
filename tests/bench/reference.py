"""The sandbox bench's other side: reference.py logistic|lightgbm FILE.csv"""

import sys

import pandas

table = pandas.read_csv(sys.argv[2])
rows, label = table.drop(columns="label"), table["label"]
if sys.argv[1] == "logistic":
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000)).fit(rows, label)
else:
    from lightgbm import LGBMClassifier

    LGBMClassifier(n_jobs=1, verbose=-1).fit(rows, label)
