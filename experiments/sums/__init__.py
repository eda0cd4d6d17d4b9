"""Units into sums: centred moments per variant, mergeable. Begin with `aggregates`.

What every source makes, and how:

    aggregates          Aggregates: counts, means, centred second moments (sparse); they merge
    quantiles           QuantileSums: a quantile and the order statistics around it
    unit_sums           UnitSums: everything a source says (strata, dimensions, clusters, caps, …)
    needs               which columns and pairs some metrics need
    duckdb_sums         sum_units(connection, table, metrics): one statement over a table of units
    warehouse           sum_in_warehouse(run, assignment, queries): portable SQL, only sums leave
"""
