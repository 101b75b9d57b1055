"""Recipes: what experiments share, from options to what a run's folder is good for after training.

An experiment is a function of its options that gives a model, a learning principle and data
(`experiment.Experiment`); an experiment file holds that function, `build`, the options and named
sets of them, `PRESETS`. The rest is here:

    options            what every experiment can be asked; imports no JAX, so that --help is quick
    after              what can be asked of a run's folder after training, likewise
    command            the command line: presets, and what can be done after training
    loading            the data set of the options
    experiment         what a file builds: Experiment; what training gives: Fitted
    fitting            training with early stopping, or from several seeds as one program
    samples            samples of a trained model, and how they are shown
    reports            scores, result.json, pictures
    likelihood         maximum likelihood of images and vectors
    class_conditional  class-conditional models, and the accuracy of a classifier on their samples
    texts              maximum likelihood of texts
    latent             bounds of latent-variable models
    games              a generator and a critic
    closed_form        fits without gradients, one of whose settings validation chooses
    folds              cross-validation on small data, each fold trained as one program
    runs               a run's folder after training: load, sample, evaluate, complete, export

In a notebook, with an experiment file imported as a module:

    numbers = fitting.main(made.build, made.PRESETS["digits"])         # train, score, report
    fitting.main(made.build, made.Config(dataset=mine))                # on a data.Dataset
    dataset, model, params = runs.load(made.build, made.Config, "runs/made")

Recipes may import all of gm, and nothing in gm imports them.
"""
