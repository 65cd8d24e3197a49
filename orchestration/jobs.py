"""The named jobs, one for each way of splitting the assets; ``main.py run`` drives them in this order."""

import dagster as dg

data = dg.define_asset_job(
    "data",
    selection=dg.AssetSelection.groups("data"),
    description="Captures to events, features and labels, one day of one symbol; the days of a symbol run in order.",
)
slices = dg.define_asset_job(
    "slices",
    selection=dg.AssetSelection.groups("slices"),
    description="Walk-forward windows of one symbol over all of its days.",
)
training = dg.define_asset_job(
    "training",
    selection=dg.AssetSelection.groups("models"),
    description="Search, train, backtest and evaluate on one slice of one symbol.",
)
registry = dg.define_asset_job(
    "registry",
    selection=dg.AssetSelection.groups("registry"),
    description="Register the newest slice's model, put it before the gates, and record who approved it.",
)
deployment = dg.define_asset_job(
    "deployment",
    selection=dg.AssetSelection.groups("deployment"),
    description="Push the champion, or the challenger where the config says so, to the runner; needs one that runs.",
)
live = dg.define_asset_job(
    "live",
    selection=dg.AssetSelection.groups("live"),
    description="Finished segments of the runner's journal into the lake, and the venue's models fitted from them.",
)
_LADDER = dg.AssetSelection.assets("parity")
monitoring = dg.define_asset_job(
    "monitoring",
    selection=dg.AssetSelection.groups("monitoring") - _LADDER,
    description="Compare what ran live with what the champion was trained on.",
)
ladder = dg.define_asset_job(
    "ladder",
    selection=_LADDER,
    description="Hold the runner's journal against its backtest: minutes of computing for every hour of market.",
)
contest = dg.define_asset_job(
    "contest",
    selection=dg.AssetSelection.groups("contest"),
    description="Hold the challenger's desk of the journal against the champion's, minute by minute.",
)
harm = dg.define_asset_job(
    "harm",
    selection=dg.AssetSelection.groups("harm"),
    description="Bar the challenger that its A/B has stopped for harm.",
)
JOBS = (data, slices, training, registry, deployment, live, monitoring, ladder, contest, harm)
