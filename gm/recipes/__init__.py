"""Recipes: the shared code of experiments, from options to the use of a trained run.

An experiment file contains `build`, a function from options to a model, a learning principle and
data (`experiment.Experiment`), a class of options, and `PRESETS`, named options. The rest is here:

    options            options of all experiments; imports no JAX, so that --help is fast
    after              options of the commands after training; imports no JAX either
    command            the command line: presets, and commands after training
    loading            loads the data set of the options
    experiment         Experiment, the result of build, and Fitted, the result of training
    fitting            training with early stopping, or from several seeds as one program
    samples            samples of a trained model, and pictures or texts of them
    reports            scores, result.json, pictures
    likelihood         maximum likelihood for images and vectors
    class_conditional  class-conditional models, and the accuracy of a classifier on their samples
    texts              maximum likelihood for texts
    latent             bounds for latent-variable models
    variational        scores of a flow against a density that is known
    topics             topic models of documents: reading, scores, reports
    games              adversarial training of a generator and a critic
    closed_form        fits without gradients, selected by validation
    folds              cross-validation on small data; each fold trains as one program
    runs               a run's folder after training: load, sample, evaluate, complete, export

In a notebook, with an experiment file imported as a module:

    numbers = fitting.main(made.build, made.PRESETS["digits"])         # train, score, report
    fitting.main(made.build, made.Config(dataset=mine))                # on a data.Dataset
    dataset, model, params = runs.load(made.build, made.Config, "runs/made")

Recipes may import all of gm, and nothing in gm imports them.
"""
