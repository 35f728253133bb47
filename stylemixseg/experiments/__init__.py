"""The paper's tables and figures as functions that measure, one module each, run by profile."""
