"""Log an audit of sslmem to MLflow or Weights & Biases: numbers as metrics, the report as a page.

    from log_audit import to_mlflow
    to_mlflow(client.audit({"candidate": members, "external": others}, gates=["auc<=0.6"]))
"""


def numbers_of(report):
    """name -> number; what an audit could not measure is left out."""
    summary = report["summary"]
    found = {f"{name}_mean_m": cohort["mean"] for name, cohort in summary["cohorts"].items()}
    found |= {f"{name}_auc": pair["auc"]["value"] for name, pair in summary["membership"].items()}
    found |= {f"memorized_fdr{level['q']:g}": level["share"] for level in summary["fdr"]["levels"]}
    found |= {"passed": summary["passed"], "flags": len(summary["flags"])}
    return {name: float(value) for name, value in found.items() if value is not None}


def to_mlflow(audit):
    import mlflow
    report = audit.report()
    with mlflow.start_run(run_name=report["spec"]["name"]):
        mlflow.set_tags({"sslmem.audit": audit.id, "sslmem.pair": report["pair"]["name"]})
        mlflow.log_params({"pair_digest": report["pair"]["digest"], "recipe_digest": report["pair"]["recipe_digest"]})
        mlflow.log_metrics(numbers_of(report))
        mlflow.log_dict(report, "report.json")
        mlflow.log_text(audit.client.report(audit, "html").decode(), "report.html")


def to_wandb(audit, project="sslmem"):
    import wandb
    report = audit.report()
    run = wandb.init(project=project, name=report["spec"]["name"], config={"audit": audit.id, "pair": report["pair"]["name"]})
    table = wandb.Table(columns=["image", "cohort", "m", "p_value"],
                        data=[[item[k] for k in ("image", "cohort", "m", "p_value")] for item in report["items"] if "m" in item])
    run.log({**numbers_of(report), "images": table, "report": wandb.Html(audit.client.report(audit, "html").decode())})
    run.finish()
