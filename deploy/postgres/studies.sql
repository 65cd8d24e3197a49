-- Beside MLflow's database, which the image creates: the one that searches of several processes share.
CREATE DATABASE studies;
