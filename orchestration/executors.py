"""The executor that a profile names: where the steps of a run work that Dagster launches."""

import dagster as dg

from config.orchestration import OrchestrationSettings


def executor_of(settings: OrchestrationSettings) -> dg.ExecutorDefinition:
    """In process, in processes of this machine, on a Dask cluster or in pods, as ``orchestration.executor`` says.

    Whatever it is, a step hands nothing to the next but what lies in the lake.
    """
    at_a_time = {"max_concurrent": settings.workers}
    match settings.executor:
        case "in_process":
            return dg.in_process_executor
        case "multiprocess":
            return dg.multiprocess_executor.configured(at_a_time)
        case "dask":
            return _dask(settings)
        case "k8s":
            from dagster_k8s import k8s_job_executor  # a client of Kubernetes takes seconds to import

            return k8s_job_executor.configured(at_a_time)


def _dask(settings: OrchestrationSettings) -> dg.ExecutorDefinition:
    from dagster_dask import dask_executor  # as long

    if settings.dask_address:
        return dask_executor.configured({"cluster": {"existing": {"address": settings.dask_address}}})
    ours = {
        "n_workers": settings.workers,
        "security": True,
        "dashboard_address": "127.0.0.1:0",
    }  # code runs on it: TLS, own keys
    return dask_executor.configured({"cluster": {"local": ours}})
